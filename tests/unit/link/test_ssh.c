/* The link over ssh with a scripted `ssh` in PATH: no host, no network. */
#include "../../../src/common/log.h"
#include "../../../src/link/ssh.h"
#include "../../../src/link/ssh_words.h"
#include "../../support/cm.h"
#include "../../support/fake_worker.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    uv_loop_t loop;
    char folder[PATH_MAX], path[200];
    struct fake_worker *fake;
    struct worker_spec spec;
    struct ssh_place place;
};

/* What a program writes as `ssh` does: its pid, one line a start, and then what the test says. */
static void script(const struct rig *rig, const char *text)
{
    char program[PATH_MAX + 2000];
    snprintf(program, sizeof(program),
             "#!/bin/sh\ncd %s\necho $$ >>starts\nprintf '%%s\\n' \"$@\" >words\n%s\n", rig->folder,
             text);
    scratch_write(scratch_path(rig->folder, "ssh"), program);
    chmod(scratch_path(rig->folder, "ssh"), 0755);
}

static unsigned starts(const struct rig *rig)
{
    unsigned count = 0;
    if (!scratch_exists(scratch_path(rig->folder, "starts")))
        return 0;
    for (const char *c = scratch_read(scratch_path(rig->folder, "starts")); *c; c++)
        count += *c == '\n';
    return count;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct err err;
    log_init("test", LOG_ERROR + 1);
    uv_loop_init(&rig->loop);
    scratch_make(rig->folder);
    char path[PATH_MAX + 100];
    snprintf(path, sizeof(path), "%s:/usr/bin:/bin", rig->folder);
    setenv("PATH", path, 1);
    snprintf(rig->path, sizeof(rig->path), "%s", scratch_path(rig->folder, "w1.sock"));
    rig->place = (struct ssh_place){.folder = rig->folder, .config = ""};
    worker_spec_init(&rig->spec, "w1");
    assert_ok(worker_spec_set(&rig->spec, "ssh", "root@host:2222", &err), err);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    fake_worker_destroy(rig->fake);
    loop_finish(&rig->loop);
    scratch_remove(rig->folder);
    free(rig);
    return 0;
}

static struct link *make_link(struct rig *rig)
{
    struct err err;
    struct link *link = link_ssh_create(&rig->loop, &rig->spec, &rig->place, &err);
    if (!link)
        fail_msg("%s", err.msg);
    return link;
}

static unsigned closed, frames;

static void on_frame(struct link_conn *conn, const struct frame *frame, void *data)
{
    (void)conn, (void)frame, (void)data;
    frames++;
}

static void on_closed(struct link_conn *conn, const struct err *why, void *data)
{
    (void)conn, (void)why, (void)data;
    closed++;
}

static const struct link_conn_ops ops = {.on_frame = on_frame, .on_closed = on_closed};

static struct link_conn *try_open(struct link *link, struct err *err)
{
    return link_open(link, &ops, NULL, err);
}

/* It is started by the first who asks; before it is logged in nobody waits for it in vain. */
static void test_from_start_to_answer(void **state)
{
    struct rig *rig = *state;
    struct err err;
    script(rig, "exec sleep 1000");
    struct link *link = make_link(rig);
    assert_string_equal(link_location(link), "root@host:2222");
    assert_int_equal(starts(rig), 0);
    assert_null(try_open(link, &err));
    assert_contains(err.msg, "ssh is connecting to root@host:2222");
    loop_wait(&rig->loop, starts(rig) == 1);
    rig->fake = fake_worker_create(&rig->loop, rig->path); /* what ssh -L would make */
    closed = frames = 0;
    struct link_conn *conn = try_open(link, &err);
    assert_non_null(conn);
    link_conn_send(conn, FRAME_ZOMBIES, "{}", 2);
    loop_wait(&rig->loop, closed);
    assert_int_equal(frames, 1);
    const struct link_status *status = link_get_status(link);
    assert_true(status->up);
    assert_true(status->latency_us > 0);
    assert_contains(scratch_read(scratch_path(rig->folder, "words")),
                    "--\nhost\nexec cat >/dev/null\n");
    link_conn_destroy(conn);
    link_destroy(link);
    pid_t pid = (pid_t)atoi(scratch_read(scratch_path(rig->folder, "starts")));
    loop_wait(&rig->loop, kill(pid, 0) != 0); /* it does not outlive its link */
}

static void test_started_again_when_it_ends(void **state)
{
    struct rig *rig = *state;
    struct err err;
    script(rig, "echo 'ssh: connect to host host port 2222: Connection refused' >&2; exit 255");
    struct link *link = make_link(rig);
    assert_null(try_open(link, &err));
    loop_wait(&rig->loop, starts(rig) >= 3);
    assert_null(try_open(link, &err));
    assert_contains(err.msg, "Connection refused");
    assert_contains(link_get_status(link)->last_error, "Connection refused");
    assert_contains(link_get_status(link)->last_line, "Connection refused");
    assert_false(link_get_status(link)->up);
    link_destroy(link);
}

/* Logged in, as its socket shows, and over at once: the next one asks for no session. */
static void refuse_session(struct rig *rig, const char *end)
{
    char text[PATH_MAX + 200];
    struct err err;
    snprintf(text, sizeof(text), "grep -q SessionType=none words && exec sleep 1000\n: >%s\n%s",
             rig->path, end);
    script(rig, text);
    struct link *link = make_link(rig);
    assert_null(try_open(link, &err));
    loop_wait(&rig->loop, starts(rig) == 2 && !scratch_exists(rig->path));
    assert_null(try_open(link, &err));
    assert_contains(err.msg, "the login at root@host:2222 runs no command");
    loop_wait(&rig->loop, strstr(scratch_read(scratch_path(rig->folder, "words")), "--\nhost\n"));
    link_destroy(link);
}

static void test_a_shell_that_runs_nothing(void **state)
{
    refuse_session(*state, "exit 1");
}

static void test_a_server_without_sessions(void **state)
{
    refuse_session(*state, "exit 255");
}

/* The socket that an earlier ssh left must not be taken for this one's. */
static void test_a_stale_socket(void **state)
{
    struct rig *rig = *state;
    struct err err;
    scratch_write(rig->path, "left");
    script(rig, "exec sleep 1000");
    struct link *link = make_link(rig);
    assert_null(try_open(link, &err));
    assert_false(scratch_exists(rig->path));
    link_destroy(link);
}

/* A pinned key may be of a kind that the host does not offer first. */
static void test_each_family_of_keys(void **state)
{
    struct rig *rig = *state;
    struct err err;
    assert_ok(worker_spec_set(&rig->spec, "host_key",
                              "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+", &err),
              err);
    script(rig, "grep -q rsa-sha2-512 words && exec sleep 1000\n"
                "echo 'Host key verification failed.' >&2; exit 255");
    struct link *link = make_link(rig);
    assert_null(try_open(link, &err));
    loop_wait(&rig->loop, starts(rig) == SSH_FAMILIES);
    for (int i = 0; i < 50; i++)
        loop_turn(&rig->loop);
    assert_int_equal(starts(rig), SSH_FAMILIES); /* that one stays */
    link_destroy(link);
}

static void test_a_folder_that_is_no_place(void **state)
{
    struct rig *rig = *state;
    struct err err;
    char folder[200];
    memset(folder, 'x', sizeof(folder) - 1);
    folder[0] = '/';
    folder[sizeof(folder) - 1] = '\0';
    const struct ssh_place places[] = {{.folder = folder, .config = ""},
                                       {.folder = "/a:b", .config = ""}};
    for (size_t i = 0; i < 2; i++) {
        assert_null(link_ssh_create(&rig->loop, &rig->spec, &places[i], &err));
        assert_contains(err.msg, "no path for a socket of ssh");
    }
}

static void test_pauses(void **state)
{
    (void)state;
    for (uint32_t chance = 0; chance < 100000; chance += 997) {
        assert_in_range(ssh_pause_ms(0, chance), 200, 200);
        assert_in_range(ssh_pause_ms(2, chance), 400, 800);
        assert_in_range(ssh_pause_ms(50, chance), 5000, 10000);
        assert_in_range(ssh_pause_ms(UINT32_MAX, chance), 5000, 10000);
    }
    assert_int_not_equal(ssh_pause_ms(9, 1), ssh_pause_ms(9, 2));
}

/* ---- commands ---- */

struct outcome {
    bool done;
    int status;
    struct err err;
    char lines[500];
};

static void on_line(const char *line, void *data)
{
    struct outcome *outcome = data;
    strncat(outcome->lines, line, 100);
    strcat(outcome->lines, "|");
}

static void on_done(int status, const struct err *err, void *data)
{
    struct outcome *outcome = data;
    outcome->done = true;
    outcome->status = status;
    outcome->err = err ? *err : (struct err){0};
}

static const struct ssh_command_ops command_ops = {.on_line = on_line, .on_done = on_done};

static struct ssh_command *run(struct rig *rig, const char *text, int input,
                               struct outcome *outcome)
{
    struct err err;
    *outcome = (struct outcome){0};
    struct ssh_command *command = ssh_command_start(&rig->loop, &rig->spec, &rig->place, text,
                                                    input, &command_ops, outcome, &err);
    assert_non_null(command);
    return command;
}

static void test_a_command(void **state)
{
    struct rig *rig = *state;
    struct outcome outcome;
    scratch_write(scratch_path(rig->folder, "input"), "hello");
    int input = open(scratch_path(rig->folder, "input"), O_RDONLY | O_CLOEXEC);
    script(rig, "tail -n1 words; cat; printf 'a\\001b\\r\\nlast'; exit 3");
    struct ssh_command *command = run(rig, "the command", input, &outcome);
    loop_wait(&rig->loop, outcome.done);
    assert_int_equal(outcome.status, 3);
    assert_int_equal(outcome.err.code, ERR_NONE);
    assert_string_equal(outcome.lines, "the command|helloa?b|last|");
    assert_int_equal(ssh_command_sent(command), 5);
    ssh_command_destroy(command);
}

static void test_a_command_that_cannot_be(void **state)
{
    struct rig *rig = *state;
    struct outcome outcome;
    script(rig,
           "echo 'codeland-key SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+ ssh-rsa' >&2\n"
           "echo 'Host key verification failed.' >&2; exit 255");
    struct ssh_command *command = run(rig, "x", -1, &outcome);
    loop_wait(&rig->loop, outcome.done);
    assert_int_equal(outcome.err.code, ERR_HOST_KEY);
    assert_string_equal(ssh_command_key(command),
                        "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+");
    assert_string_equal(ssh_command_key_type(command), "ssh-rsa");
    ssh_command_destroy(command);
}

static void test_a_command_that_is_given_up(void **state)
{
    struct rig *rig = *state;
    struct outcome outcome;
    script(rig, "exec sleep 1000");
    struct ssh_command *command = run(rig, "x", -1, &outcome);
    loop_wait(&rig->loop, starts(rig) == 1);
    pid_t pid = (pid_t)atoi(scratch_read(scratch_path(rig->folder, "starts")));
    ssh_command_destroy(command);
    loop_wait(&rig->loop, kill(pid, 0) != 0);
    assert_false(outcome.done);
}

/* A program that ssh left behind holds its pipes: that is not waited for. */
static void test_a_pipe_that_stays_open(void **state)
{
    struct rig *rig = *state;
    struct outcome outcome;
    script(rig, "sleep 1000 & echo $! >left; echo out; exit 0");
    struct ssh_command *command = run(rig, "x", -1, &outcome);
    loop_wait(&rig->loop, outcome.done);
    assert_string_equal(outcome.lines, "out|");
    kill((pid_t)atoi(scratch_read(scratch_path(rig->folder, "left"))), SIGKILL);
    ssh_command_destroy(command);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_from_start_to_answer),
        TEST(test_started_again_when_it_ends),
        TEST(test_a_shell_that_runs_nothing),
        TEST(test_a_server_without_sessions),
        TEST(test_a_stale_socket),
        TEST(test_each_family_of_keys),
        TEST(test_a_folder_that_is_no_place),
        cmocka_unit_test(test_pauses),
        TEST(test_a_command),
        TEST(test_a_command_that_cannot_be),
        TEST(test_a_command_that_is_given_up),
        TEST(test_a_pipe_that_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
