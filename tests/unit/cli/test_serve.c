/* The manager as a process: what it becomes, what it refuses, how it ends. Needs root, as it is
 * root that it gives up.
 */
#include "../../../src/cli/verbs.h"
#include "../../../src/common/clock.h"
#include "../../../src/common/mem.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60

static char folder[PATH_MAX];
static int port;

/* A port that nobody has at this moment. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    close(fd);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    chmod(folder, 0755); /* the manager's user must get through */
    port = free_port();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

/* Starts `serve` in a child, with these words (NULL-terminated) after the usual ones. Its stderr
 * goes to the file "log".
 */
static pid_t start(const char *const *more)
{
    char listen[60], state_dir[PATH_MAX + 40], run_dir[PATH_MAX + 40];
    char *words[40] = {(char *)(uintptr_t) "serve"};
    size_t count = 1;
    snprintf(listen, sizeof(listen), "http.listen=127.0.0.1:%d", port);
    snprintf(state_dir, sizeof(state_dir), "paths.state_dir=%s/state", folder);
    snprintf(run_dir, sizeof(run_dir), "paths.run_dir=%.60s", folder);
    const char *const usual[] = {listen,
                                 state_dir,
                                 run_dir,
                                 "http.user=nobody",
                                 "http.group=nogroup",
                                 "paths.languages=" LANGUAGES_FOLDER};
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        words[count++] = (char *)(uintptr_t) "--set";
        words[count++] = (char *)(uintptr_t)usual[i];
    }
    for (; more && *more; more++)
        words[count++] = (char *)(uintptr_t)*more;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int log = open(scratch_path(folder, "log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    int status = cli_serve((int)count, words);
    exit(status); /* with the sanitizer's last word on leaks */
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static int wait_exit(pid_t pid)
{
    int status;
    for (int i = 0; i < WAIT_S * 200; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            assert_true(WIFEXITED(status));
            return WEXITSTATUS(status);
        }
        pause_a_little();
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    fail_msg("it does not end");
    return -1;
}

static int connect_to(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < WAIT_S * 200; i++) {
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd;
        pause_a_little();
    }
    fail_msg("nobody listens: %s", scratch_read(scratch_path(folder, "log")));
    return -1;
}

/* The answer to a GET, in a static buffer. */
static const char *get(const char *path, const char *token)
{
    static char answer[65536];
    char request[400];
    size_t len = 0;
    ssize_t got;
    int fd = connect_to();
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nauth-token: %s\r\n\r\n", path,
             token);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while ((got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    close(fd);
    return answer;
}

static void read_token(char token[64])
{
    const char *text = scratch_read(scratch_path(folder, "state/admin.token"));
    assert_int_equal(sscanf(text, "%63s", token), 1);
}

static void assert_unprivileged(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    const char *status = scratch_read(path);
    if (!status)
        status = "";
    assert_contains(status, "\nUid:\t65534\t65534\t65534\t65534\n");
    assert_contains(status, "\nGid:\t65534\t65534\t65534\t65534\n");
    assert_contains(status, "\nGroups:\t65534 \n");
    assert_contains(status, "\nCapInh:\t0000000000000000\n");
    assert_contains(status, "\nCapPrm:\t0000000000000000\n");
    assert_contains(status, "\nCapEff:\t0000000000000000\n");
    assert_contains(status, "\nCapBnd:\t0000000000000000\n");
    assert_contains(status, "\nCapAmb:\t0000000000000000\n");
    assert_contains(status, "\nNoNewPrivs:\t1\n");
}

static void test_gives_up_root(void **state)
{
    (void)state;
    char token[64], again[64];
    struct stat st;
    pid_t pid = start(NULL);
    assert_contains(get("/healthz", ""), "HTTP/1.1 200 OK\r\n");
    assert_unprivileged(pid);
    assert_contains(get("/readyz", ""), "HTTP/1.1 503 ");
    assert_contains(get("/api/v1/runner", ""), "HTTP/1.1 401 ");
    read_token(token);
    assert_contains(get("/api/v1/runner", token), "HTTP/1.1 200 ");
    assert_int_equal(stat(scratch_path(folder, "state/admin.token"), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(scratch_path(folder, "state/manager"), &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(st.st_mode & 07777, 0700);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), EXIT_OK);
    assert_null(strstr(scratch_read(scratch_path(folder, "log")), token + 3)); /* never logged */
    pid = start(NULL); /* the token is the same, and works */
    assert_contains(get("/api/v1/runner", token), "HTTP/1.1 200 ");
    read_token(again);
    assert_string_equal(token, again);
    kill(pid, SIGINT);
    assert_int_equal(wait_exit(pid), EXIT_OK);
}

/* Killed without a word it starts again on what it left. */
static void test_killed(void **state)
{
    (void)state;
    char token[64];
    pid_t pid = start(NULL);
    get("/healthz", "");
    read_token(token);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pid = start(NULL);
    assert_contains(get("/api/v1/runner", token), "HTTP/1.1 200 ");
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), EXIT_OK);
}

static void expect_refusal(const char *const *more, int code, const char *words)
{
    assert_int_equal(wait_exit(start(more)), code);
    assert_contains(scratch_read(scratch_path(folder, "log")), words);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal((const char *const[]){"--set", "http.user=no-such-user", NULL}, EXIT_FAILED,
                   "there is no user \\\"no-such-user\\\"");
    expect_refusal((const char *const[]){"--set", "http.group=no-such-group", NULL}, EXIT_FAILED,
                   "there is no group \\\"no-such-group\\\"");
    expect_refusal((const char *const[]){"--set", "http.user=root", NULL}, EXIT_FAILED,
                   "does not run as root");
    expect_refusal((const char *const[]){"--set", "http.listen=nonsense", NULL}, EXIT_FAILED,
                   "ADDRESS:PORT");
    expect_refusal((const char *const[]){"--set", "http.nope=1", NULL}, EXIT_USAGE, "nope");
    expect_refusal((const char *const[]){"--nope", NULL}, EXIT_USAGE, "--nope");
    expect_refusal((const char *const[]){"nope", NULL}, EXIT_USAGE, "one word too many");
    expect_refusal((const char *const[]){"--config", "/nonexistent/x.conf", NULL}, EXIT_USAGE,
                   "/nonexistent/x.conf");
}

static void test_port_taken(void **state)
{
    (void)state;
    pid_t pid = start(NULL);
    close(connect_to());
    expect_refusal(NULL, EXIT_FAILED, "Address already in use");
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), EXIT_OK);
}

static void test_check_config(void **state)
{
    (void)state;
    const char *path = scratch_path(folder, "good.conf");
    scratch_write(path, "[http]\nlisten = 127.0.0.1:1\n");
    expect_refusal((const char *const[]){"--config", path, "--check-config", NULL}, EXIT_OK,
                   "good.conf: ok");
    path = scratch_path(folder, "bad.conf");
    scratch_write(path, "[http]\n\nlisten = 127.0.0.1:1\nbody_max = 1\n");
    expect_refusal((const char *const[]){"--check-config", "--config", path, NULL}, EXIT_USAGE,
                   "bad.conf:4: http.body_max");
    assert_false(scratch_exists(scratch_path(folder, "state"))); /* it only looked */
}

/* A client that holds its connection does not hold the manager. */
static void test_ends_with_clients(void **state)
{
    (void)state;
    pid_t pid = start(NULL);
    int idle = connect_to();
    int half = connect_to();
    assert_int_equal(write(half, "GET /he", 7), 7);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), EXIT_OK);
    close(idle);
    close(half);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_gives_up_root), TEST(test_killed),       TEST(test_refusals),
        TEST(test_port_taken),    TEST(test_check_config), TEST(test_ends_with_clients),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
