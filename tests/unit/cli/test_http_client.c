#include "../../../src/cli/http_client.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

/* A server for one connection: reads a request whole, answers with these bytes. */
struct server {
    pid_t pid;
    char address[32];
};

static void serve_one(int listener, const char *answer)
{
    char request[8192];
    size_t len = 0;
    int fd = accept(listener, NULL, NULL);
    while (len < sizeof(request) - 1) {
        ssize_t got = read(fd, request + len, sizeof(request) - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *size = strstr(request, "Content-Length: ");
        if (end && strlen(end + 4) >= (size ? (size_t)atoi(size + 16) : 0))
            break;
    }
    if (strcmp(answer, "echo") == 0)
        dprintf(fd, "HTTP/1.1 200 OK\r\n\r\n%s", request);
    else if (strcmp(answer, "silence") == 0)
        pause();
    else
        fd_write_all(fd, answer, strlen(answer));
    close(fd);
}

static void start(struct server *server, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    str_format(server->address, sizeof(server->address), "127.0.0.1:%d", ntohs(address.sin_port));
    server->pid = fork();
    if (server->pid == 0) {
        serve_one(fd, answer);
        _exit(0);
    }
    close(fd);
}

static void stop(struct server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}

static int ask(const char *answer_with, const char *body, int timeout_ms, int cancel_fd,
               struct http_answer *answer, struct err *err)
{
    struct server server;
    start(&server, answer_with);
    const struct http_request request = {
        .address = server.address,
        .method = body ? "POST" : "GET",
        .path = "/path",
        .token = body ? "cl_1" : NULL,
        .body = body,
        .timeout_ms = timeout_ms,
        .cancel_fd = cancel_fd,
    };
    int rc = http_client_ask(&request, answer, err);
    stop(&server);
    return rc;
}

static void a_request_is_sent_and_answered(void **data)
{
    (void)data;
    struct err err;
    struct http_answer answer;
    assert_ok(ask("echo", "{\"a\": 1}", 60000, -1, &answer, &err), err);
    assert_int_equal(answer.status, 200);
    assert_true(str_starts_with(answer.body, "POST /path HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_contains(answer.body, "\r\nConnection: close\r\n");
    assert_contains(answer.body, "\r\nAuthorization: Bearer cl_1\r\n");
    assert_contains(answer.body, "\r\nContent-Length: 8\r\n");
    assert_contains(answer.body, "\r\n\r\n{\"a\": 1}");
    free(answer.body);
    assert_ok(ask("echo", NULL, 60000, -1, &answer, &err), err);
    assert_true(str_starts_with(answer.body, "GET /path HTTP/1.1\r\n"));
    assert_null(strstr(answer.body, "Authorization"));
    free(answer.body);
}

static void status_and_body_are_taken_apart(void **data)
{
    (void)data;
    struct err err;
    struct http_answer answer;
    assert_ok(ask("HTTP/1.1 498 Timed Out\r\nX: y\r\n\r\n{}", NULL, 60000, -1, &answer, &err), err);
    assert_int_equal(answer.status, 498);
    assert_string_equal(answer.body, "{}");
    assert_int_equal(answer.len, 2);
    free(answer.body);
    assert_ok(ask("HTTP/1.1 204 No Content\r\n\r\n", NULL, 60000, -1, &answer, &err), err);
    assert_string_equal(answer.body, "");
    free(answer.body);
}

static void chunks_are_joined(void **data)
{
    (void)data;
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const struct {
        const char *chunks, *body; /* NULL: refused */
    } answers[] = {
        {"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"},
        {"0\r\n\r\n", ""},
        {"", NULL},
        {"3\r\nabc\r\n", NULL},
        {"9\r\nabc\r\n0\r\n\r\n", NULL},
        {"ffffffffffffffff\r\nabc\r\n0\r\n\r\n", NULL},
        {"3 \nabc\r\n0\r\n\r\n", NULL},
        {"-1\r\nabc\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct http_answer answer;
        struct err err;
        char text[300];
        str_format(text, sizeof(text), "%s%s", head, answers[i].chunks);
        if (!answers[i].body) {
            assert_fails(ask(text, NULL, 5000, -1, &answer, &err), err, ERR_BAD_GATEWAY,
                         "too early");
            continue;
        }
        assert_ok(ask(text, NULL, 5000, -1, &answer, &err), err);
        assert_int_equal(answer.len, strlen(answers[i].body));
        assert_string_equal(answer.body, answers[i].body);
        free(answer.body);
    }
}

static void what_is_no_http_is_refused(void **data)
{
    (void)data;
    struct err err;
    struct http_answer answer;
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n",
                                          "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.\r\n\r\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        assert_fails(ask(answers[i], NULL, 60000, -1, &answer, &err), err, ERR_BAD_GATEWAY,
                     "the answer is no HTTP");
        assert_null(answer.body);
    }
}

static void nobody_there_is_said_so(void **data)
{
    (void)data;
    struct err err;
    struct http_answer answer;
    struct server server;
    start(&server, "");
    stop(&server);
    const struct http_request request = {.address = server.address,
                                         .method = "GET",
                                         .path = "/",
                                         .timeout_ms = 60000,
                                         .cancel_fd = -1};
    assert_fails(http_client_ask(&request, &answer, &err), err, ERR_BAD_GATEWAY,
                 "Connection refused");
}

static void waiting_has_an_end(void **data)
{
    (void)data;
    struct err err;
    struct http_answer answer;
    assert_fails(ask("silence", NULL, 50, -1, &answer, &err), err, ERR_TIMED_OUT, "within 50 ms");
    cleanup_close int cancel = eventfd(1, EFD_CLOEXEC);
    assert_fails(ask("silence", NULL, 60000, cancel, &answer, &err), err, ERR_TIMED_OUT,
                 "interrupted");
}

static void addresses_are_understood(void **data)
{
    (void)data;
    static const struct {
        const char *text, *host;
        bool connecting;
        int family, port;
    } cases[] = {
        {"127.0.0.1:8080", "127.0.0.1", false, AF_INET, 8080},
        {"0.0.0.0:80", "0.0.0.0", false, AF_INET, 80},
        {"0.0.0.0:80", "127.0.0.1", true, AF_INET, 80},
        {"[::1]:8080", "::1", false, AF_INET6, 8080},
        {"[::]:65535", "::", false, AF_INET6, 65535},
        {"[::]:1", "::1", true, AF_INET6, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        struct http_address address;
        char host[64];
        assert_ok(http_client_address(cases[i].text, cases[i].connecting, &address, &err), err);
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address.addr;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.addr;
        assert_int_equal(address.addr.ss_family, cases[i].family);
        bool is_v4 = cases[i].family == AF_INET;
        assert_int_equal(ntohs(is_v4 ? v4->sin_port : v6->sin6_port), cases[i].port);
        inet_ntop(cases[i].family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host,
                  sizeof(host));
        assert_string_equal(host, cases[i].host);
    }
}

static void bad_addresses_are_refused(void **data)
{
    (void)data;
    static const char *const texts[] = {
        "",
        ":",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "::1:8080",
        "[::1]",
        "[::1:80",
        "[]:80",
        "[127.0.0.1]:80",
        "localhost:80",
        "1.2.3:80",
        "127.0.0.1:8o",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct err err;
        struct http_address address;
        assert_fails(http_client_address(texts[i], false, &address, &err), err, ERR_BAD_REQUEST,
                     "is not an address and a port");
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_sent_and_answered),
        cmocka_unit_test(status_and_body_are_taken_apart),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(what_is_no_http_is_refused),
        cmocka_unit_test(nobody_there_is_said_so),
        cmocka_unit_test(waiting_has_an_end),
        cmocka_unit_test(addresses_are_understood),
        cmocka_unit_test(bad_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
