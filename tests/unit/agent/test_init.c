#include "session.h"

#include "../../support/cm.h"

#include <signal.h>
#include <unistd.h>

/* A runner's root is no god: nothing it sends ends the agent. */
static void test_survives_every_signal(void **state)
{
    struct cell *cell = *state;
    session_expect(
        cell, AGENT_EXEC_ROOT,
        "i=1; while [ $i -le 64 ]; do kill -$i 1; kill -$i 1; i=$((i+1)); done; echo sent",
        "sent\n");
    session_expect(cell, 0, "echo alive", "alive\n");
    /* From outside too, as LXC asks an init to stop; only SIGKILL ends it. */
    for (int sig = 1; sig <= 64; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig > 33))
            assert_int_equal(kill(cell->pid, sig), 0);
    session_expect(cell, 0, "echo alive", "alive\n");
}

static void test_reaps_what_nobody_waits_for(void **state)
{
    struct cell *cell = *state;
    unsigned zombies;
    session_expect(cell, 0,
                   "i=0; while [ $i -lt 200 ]; do (setsid true & :) & i=$((i+1)); done >/dev/null; "
                   "wait; echo done",
                   "done\n");
    cell_wait(cell_processes(cell, &zombies) == 0);
    /* Many at once: their signals are merged into one. */
    session_expect(cell, 0,
                   "i=0; while [ $i -lt 100 ]; do (setsid sleep 1000 >/dev/null 2>&1 & :); "
                   "i=$((i+1)); done; echo done",
                   "done\n");
    session_expect(cell, 0, "kill -9 -1; echo killed", "killed\n");
    cell_wait(cell_processes(cell, &zombies) == 0);
    assert_int_equal(zombies, 0);
}

static void test_socket_is_out_of_sight(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, AGENT_EXEC_ROOT, "ls -A " AGENT_SOCKET_DIR, "");
    session_expect(cell, AGENT_EXEC_ROOT, "grep -c ' " AGENT_SOCKET_DIR " ' /proc/mounts || true",
                   "0\n");
    /* Nor by the way of the agent's own descriptors. */
    session_expect(cell, 0,
                   "ls /proc/1/fd /proc/1/cwd/ /proc/1/root/ 2>/dev/null || echo refused; "
                   "cat /proc/1/environ /proc/1/maps 2>/dev/null || echo refused",
                   "refused\nrefused\n");
}

/* What it was started with, here what this test prints to, is nothing for the runner's root. */
static void test_stdio_is_not_kept(void **state)
{
    struct cell *cell = *state;
    char path[64], target[64] = "";
    for (int fd = 0; fd < 3 && !cell_is_checked(); fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)cell->pid, fd);
        assert_true(readlink(path, target, sizeof(target) - 1) > 0);
        assert_string_equal(target, "/");
    }
}

static void test_loopback_is_up(void **state)
{
    session_expect(*state, 0, "grep -q 127.0.0.1 /proc/net/fib_trie && echo up", "up\n");
}

static void test_small(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0, "echo", "\n");
    if (!cell_is_checked())
        assert_in_range(cell_resident_bytes(cell), 1, 1 << 20);
}

/* Nothing that the agent was started with reaches a program, and nothing of it piles up. */
static void test_descriptors_stay_few(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0, "echo", "\n");
    unsigned before = cell_descriptors(cell);
    for (int i = 0; i < 50; i++)
        session_expect(cell, 0, "true", "");
    assert_int_equal(cell_descriptors(cell), before);
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        CELL_TEST(test_survives_every_signal),  CELL_TEST(test_reaps_what_nobody_waits_for),
        CELL_TEST(test_socket_is_out_of_sight), CELL_TEST(test_stdio_is_not_kept),
        CELL_TEST(test_loopback_is_up),         CELL_TEST(test_small),
        CELL_TEST(test_descriptors_stay_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
