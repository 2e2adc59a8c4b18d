/* `codeland up` with stand-ins for the daemons: first start, deaths, and every way to end. */
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include "../../../src/common/agent_wire.h"
#include "../../../src/common/clock.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/locate.h"
#include "../../../src/common/str.h"
#include "../../../src/common/template.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_US (60 * (mono_us)US_PER_SEC)

struct up {
    char folder[PATH_MAX], state[PATH_MAX], run[PATH_MAX];
    char port[8];
    pid_t pid;
    int out;
    char text[65536];
    size_t len;
};

static void pause_briefly(void)
{
    poll(NULL, 0, 10);
}

#define await(condition)                                                                           \
    do {                                                                                           \
        mono_us deadline_ = clock_now(&clock_system) + WAIT_US;                                    \
        while (!(condition)) {                                                                     \
            if (clock_now(&clock_system) > deadline_)                                              \
                fail_msg("waited in vain for: %s", #condition);                                    \
            pause_briefly();                                                                       \
        }                                                                                          \
    } while (0)

/* A port that was free a moment ago. */
static void choose_port(char port[8])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    str_format(port, 8, "%d", ntohs(address.sin_port));
}

/* As much of a template as template_check wants to see. */
static void make_template(const char *state)
{
    struct err err;
    char path[PATH_MAX];
    assert_true(template_path(path, sizeof(path), state, "base", "rootfs" AGENT_SOCKET_DIR));
    assert_ok(fd_mkdirs(path, 0755, &err), err);
    assert_true(template_path(path, sizeof(path), state, "base", "rootfs/usr/libexec"));
    assert_ok(fd_mkdirs(path, 0755, &err), err);
    assert_true(template_path(path, sizeof(path), state, "base", "rootfs" AGENT_PATH));
    scratch_write(path, "");
    assert_true(template_path(path, sizeof(path), state, "base", "template.json"));
    scratch_write(path, "{\"format\": 1, \"name\": \"base\", \"description\": \"none\", "
                        "\"from\": \"here\", \"made\": \"now\", \"sizeBytes\": 1000000, "
                        "\"packages\": []}");
}

static int set_up(void **state)
{
    static struct up up;
    memset(&up, 0, sizeof(up));
    scratch_make(up.folder);
    str_format(up.state, sizeof(up.state), "%s/state", up.folder);
    str_format(up.run, sizeof(up.run), "%s/run", up.folder);
    choose_port(up.port);
    make_template(up.state);
    up.out = -1;
    *state = &up;
    return 0;
}

static int tear_down(void **state)
{
    struct up *up = *state;
    if (up->pid > 0) {
        kill(up->pid, SIGKILL);
        waitpid(up->pid, NULL, 0);
    }
    fd_close(&up->out);
    scratch_remove(up->folder);
    return 0;
}

static void start_with(struct up *up, const char *setting)
{
    struct err err;
    char self[PATH_MAX], program[PATH_MAX], listen[64], state[PATH_MAX], run[PATH_MAX];
    assert_ok(locate_self(self, &err), err);
    assert_true(str_format(program, sizeof(program), "%.*s/codeland_standin",
                           (int)(strrchr(self, '/') - self), self));
    str_format(listen, sizeof(listen), "http.listen=127.0.0.1:%s", up->port);
    assert_true(str_format(state, sizeof(state), "paths.state_dir=%s", up->state));
    assert_true(str_format(run, sizeof(run), "paths.run_dir=%s", up->run));
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    up->pid = fork();
    if (up->pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "up", "--set", "http.user=nobody", "--set", "http.group=nogroup",
              "--set", listen, "--set", state, "--set", run, "--set", setting, (char *)NULL);
        _exit(126);
    }
    close(out[1]);
    up->out = out[0];
    fd_set_nonblock(up->out, true);
}

static void start(struct up *up)
{
    start_with(up, "log.level=info");
}

static void read_more(struct up *up)
{
    for (;;) {
        ssize_t got = read(up->out, up->text + up->len, sizeof(up->text) - 1 - up->len);
        if (got <= 0)
            return;
        up->len += (size_t)got;
        up->text[up->len] = '\0';
    }
}

static bool says(struct up *up, const char *text)
{
    read_more(up);
    return strstr(up->text, text) != NULL;
}

#define await_text(up, wanted)                                                                     \
    do {                                                                                           \
        mono_us deadline_ = clock_now(&clock_system) + WAIT_US;                                    \
        while (!says(up, wanted)) {                                                                \
            if (clock_now(&clock_system) > deadline_)                                              \
                fail_msg("\"%s\" did not appear in:\n%s", (wanted), (up)->text);                   \
            pause_briefly();                                                                       \
        }                                                                                          \
    } while (0)

static void forget_text(struct up *up)
{
    read_more(up);
    up->len = 0;
    up->text[0] = '\0';
}

/* Its exit code; -1 when a signal ended it. */
static int await_end(struct up *up)
{
    int status;
    await((read_more(up), waitpid(up->pid, &status, WNOHANG) == up->pid));
    up->pid = 0;
    read_more(up);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void does(struct up *up, const char *who, const char *words)
{
    char name[32];
    str_format(name, sizeof(name), "%s.does", who);
    scratch_write(scratch_path(up->state, name), words);
}

static const char *did(struct up *up, const char *who)
{
    char name[32];
    str_format(name, sizeof(name), "%s.did", who);
    const char *path = scratch_path(up->state, name);
    return scratch_exists(path) ? scratch_read(path) : "";
}

/* The pid of the child of `up` that runs this program. */
static pid_t child_of(struct up *up, const char *program)
{
    char path[64], list[4096];
    str_format(path, sizeof(path), "/proc/%d/task/%d/children", up->pid, up->pid);
    if (fd_read_file(AT_FDCWD, path, list, sizeof(list) - 1) < 0)
        return 0;
    char *end, *at = list;
    for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end) {
        char words[4096];
        str_format(path, sizeof(path), "/proc/%ld/cmdline", pid);
        if (fd_read_file(AT_FDCWD, path, words, sizeof(words) - 1) > 0 && strstr(words, program))
            return (pid_t)pid;
    }
    return 0;
}

static bool is_gone(pid_t pid)
{
    waitpid(pid, NULL, WNOHANG); /* an orphan of a killed `up` has come to us */
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* ---- */

static void first_start_shows_all(void **state)
{
    struct up *up = *state;
    char line[200];
    start(up);
    await_text(up, "Ctrl-C stops everything");
    assert_contains(up->text, "template: base, 1 MB, 0 packages\n");
    assert_contains(up->text, "oven: 3 runners are warm after ");
    assert_contains(up->text,
                    "hello: \"Hello from cr-standin\", run in a fresh container in 1.2 ms\n");
    str_format(line, sizeof(line), "  URL        http://127.0.0.1:%s\n", up->port);
    assert_contains(up->text, line);
    assert_contains(up->text, "  token      cl_0123456789012345678901234567890123456789\n");
    assert_contains(up->text, "program=worker event=\"memory is short\" percent=91\n");
    kill(up->pid, SIGINT);
    assert_int_equal(await_end(up), 0);
    assert_contains(up->text, "stop: all stopped in ");
    assert_string_equal(did(up, "worker"), "started\nstopped by SIGINT\n");
    assert_false(scratch_exists(up->run));
}

static void terminate_and_hangup_end_it_too(void **state)
{
    struct up *up = *state;
    static const int signals[] = {SIGTERM, SIGHUP};
    for (size_t i = 0; i < 2; i++) {
        start(up);
        await_text(up, "Ctrl-C stops everything");
        kill(up->pid, signals[i]);
        assert_int_equal(await_end(up), 0);
        fd_close(&up->out);
        forget_text(up);
    }
    assert_false(scratch_exists(up->run));
}

static void a_killed_daemon_comes_back(void **state)
{
    struct up *up = *state;
    static const char *const programs[] = {"codeland-worker", "codeland_standin"};
    static const char *const names[] = {"worker", "manager"};
    start(up);
    await_text(up, "Ctrl-C stops everything");
    for (size_t i = 0; i < 2; i++) {
        char died[100], again[100];
        forget_text(up);
        kill(child_of(up, programs[i]), SIGKILL);
        str_format(died, sizeof(died), "the %s died (killed by SIGKILL); starting it again at once",
                   names[i]);
        str_format(again, sizeof(again), "the %s runs again, pid ", names[i]);
        await_text(up, died);
        await_text(up, again);
        await(strcmp(did(up, names[i]), "started\nstarted\n") == 0);
        if (i == 0)
            assert_contains(up->text, "its last words: memory is short  percent=91\n");
    }
    kill(up->pid, SIGTERM);
    assert_int_equal(await_end(up), 0);
}

static void one_that_keeps_dying_is_given_up_at_the_start(void **state)
{
    struct up *up = *state;
    does(up, "manager", "die");
    start(up);
    assert_int_equal(await_end(up), 1);
    assert_contains(up->text, "the manager died (exit code 1); starting it again at once");
    assert_contains(up->text, "the manager died (exit code 1); starting it again in 0.2 s");
    assert_contains(up->text, "oven: failed: the manager does not start: "
                              "the store is damaged  file=store.sqlite\n");
    assert_string_equal(did(up, "manager"), "started\nstarted\nstarted\n");
    assert_contains(did(up, "worker"), "stopped by SIGINT\n");
}

static void a_refused_configuration_ends_the_start(void **state)
{
    struct up *up = *state;
    does(up, "worker", "refuse");
    does(up, "manager", "cold"); /* no real one is ready without a worker */
    start(up);
    assert_int_equal(await_end(up), 1);
    assert_contains(up->text, "the worker does not start: codeland-worker: oven.template: no good");
}

static void a_failed_hello_does_not_end_it(void **state)
{
    struct up *up = *state;
    does(up, "manager", "fail");
    start(up);
    await_text(up, "Ctrl-C stops everything");
    assert_contains(up->text, "hello: failed: the oven is empty\n");
    kill(up->pid, SIGINT);
    assert_int_equal(await_end(up), 0);
}

static void a_second_one_is_refused(void **state)
{
    struct up *up = *state;
    struct up second = *up;
    char words[100];
    start(up);
    await_text(up, "Ctrl-C stops everything");
    start(&second);
    assert_int_equal(await_end(&second), 1);
    str_format(words, sizeof(words), "another `codeland up` (pid %d) is running with ", up->pid);
    assert_contains(second.text, words);
    fd_close(&second.out);
    kill(up->pid, SIGINT);
    assert_int_equal(await_end(up), 0);
}

static void a_port_in_use_is_named(void **state)
{
    struct up *up = *state;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(up->port))};
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    start(up);
    assert_int_equal(await_end(up), 1);
    assert_contains(up->text, "(http.listen) is in use by another program");
    assert_string_equal(did(up, "worker"), "");
    assert_false(scratch_exists(up->run));
}

static void a_state_folder_that_cannot_be_written_is_named(void **state)
{
    struct up *up = *state;
    char folder[PATH_MAX];
    str_format(folder, sizeof(folder), "%s", scratch_path(up->folder, "fixed"));
    assert_int_equal(mkdir(folder, 0755), 0);
    scratch_small(folder, 65536);
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    str_format(up->state, sizeof(up->state), "%s", folder);
    start(up);
    assert_int_equal(await_end(up), 1);
    assert_contains(up->text, "(paths.state_dir): Read-only file system");
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
}

static void settings_that_cannot_be_are_named(void **state)
{
    struct up *up = *state;
    static const struct {
        const char *setting, *words;
        int code;
    } cases[] = {
        {"http.user=no-such-user", "there is no user \"no-such-user\" (http.user)", 1},
        {"http.group=no-such-group", "there is no group \"no-such-group\" (http.group)", 1},
        {"http.listen=localhost:http", "http.listen: \"localhost:http\" is not an address and a",
         1},
        {"oven.tempalte=base", "unknown key \"tempalte\" in section [oven]", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start_with(up, cases[i].setting);
        assert_int_equal(await_end(up), cases[i].code);
        assert_contains(up->text, cases[i].words);
        fd_close(&up->out);
        forget_text(up);
    }
}

static void orphans_are_killed_in_the_end(void **state)
{
    struct up *up = *state;
    does(up, "worker", "orphan");
    start(up);
    await_text(up, "Ctrl-C stops everything");
    pid_t orphan = atoi(did(up, "orphan"));
    kill(child_of(up, "codeland-worker"), SIGKILL);
    await_text(up, "the worker runs again");
    assert_false(is_gone(orphan)); /* the next worker may adopt it */
    kill(up->pid, SIGINT);
    assert_int_equal(await_end(up), 0);
    assert_true(is_gone(orphan));
}

static void a_deaf_worker_is_killed_and_cleaned_up_after(void **state)
{
    struct up *up = *state;
    does(up, "worker", "deaf");
    start(up);
    await_text(up, "Ctrl-C stops everything");
    kill(up->pid, SIGINT);
    await_text(up, "stop: stopping");
    await(strstr(did(up, "worker"), "deaf")); /* it has looked at what it does */
    does(up, "worker", "");
    await(is_gone(child_of(up, "codeland_standin")) || !child_of(up, "codeland_standin"));
    kill(up->pid, SIGINT); /* in a hurry */
    assert_int_equal(await_end(up), 0);
    assert_string_equal(did(up, "worker"), "started\ndeaf\nstarted\nstopped by SIGINT\n");
    assert_contains(up->text, "cleaning up after a worker that did not end well");
}

static void nothing_survives_when_it_is_killed(void **state)
{
    struct up *up = *state;
    start(up);
    await_text(up, "Ctrl-C stops everything");
    pid_t worker = child_of(up, "codeland-worker"), manager = child_of(up, "codeland_standin");
    assert_true(worker > 0 && manager > 0);
    kill(up->pid, SIGKILL);
    assert_int_equal(await_end(up), -1);
    await(is_gone(worker) && is_gone(manager));
    assert_string_equal(did(up, "worker"), "started\nstopped by SIGINT\n");
    forget_text(up); /* and the lock is free */
    start(up);
    await_text(up, "Ctrl-C stops everything");
    kill(up->pid, SIGINT);
    assert_int_equal(await_end(up), 0);
}

int main(void)
{
    scratch_own_mounts();
    /* What a killed `up` leaves is ours to reap, or it would never be gone. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, SIG_DFL);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(first_start_shows_all),
        CASE(terminate_and_hangup_end_it_too),
        CASE(a_killed_daemon_comes_back),
        CASE(one_that_keeps_dying_is_given_up_at_the_start),
        CASE(a_refused_configuration_ends_the_start),
        CASE(a_failed_hello_does_not_end_it),
        CASE(a_second_one_is_refused),
        CASE(a_port_in_use_is_named),
        CASE(a_state_folder_that_cannot_be_written_is_named),
        CASE(settings_that_cannot_be_are_named),
        CASE(orphans_are_killed_in_the_end),
        CASE(a_deaf_worker_is_killed_and_cleaned_up_after),
        CASE(nothing_survives_when_it_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
