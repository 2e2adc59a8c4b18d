/* Stands in for the manager within `codeland`: it answers the three questions that `up` has. */
#include "standin.h"

#include "../../../src/cli/http_client.h"
#include "../../../src/cli/verbs.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/log.h"
#include "../../../src/common/str.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct options options;

static void write_token(void)
{
    static const char token[] = "cl_0123456789012345678901234567890123456789\n";
    struct err err;
    char path[PATH_MAX];
    str_format(path, sizeof(path), "%s/admin.token", options.config.paths_state_dir);
    if (fd_replace_file(path, token, strlen(token), 0600, false, &err) != 0)
        exit(1);
}

static const char *answer(const char *request, unsigned count, int *status)
{
    *status = 200;
    if (str_starts_with(request, "GET /readyz") &&
        (count < 3 || standin_does(&options.config, "manager", "cold"))) {
        *status = 503;
        return "{\"name\": \"RunnerNotAvailable\", \"message\": \"the oven is cold: cooking\"}";
    }
    if (str_starts_with(request, "GET /readyz"))
        return "{\"status\": \"ok\"}";
    if (!strstr(request, "\r\nAuthorization: Bearer cl_0123456789")) {
        *status = 401;
        return "{\"name\": \"unauthorized\", \"message\": \"a token is needed\"}";
    }
    if (str_starts_with(request, "GET /api/v1/worker"))
        return count < 6 ? "{\"oven\": {\"available\": 1, \"cooking\": 2}}"
                         : "{\"oven\": {\"available\": 3, \"cooking\": 0}}";
    if (standin_does(&options.config, "manager", "fail")) {
        *status = 503;
        return "{\"name\": \"RunnerNotAvailable\", \"message\": \"the oven is empty\"}";
    }
    return "{\"status\": \"ok\", \"stdout\": \"Hello from cr-standin\\n\", \"duration\": 1.25}";
}

static int listen_on(void)
{
    struct http_address address;
    struct err err;
    int on = 1;
    if (http_client_address(options.config.http_listen, false, &address, &err) != 0)
        return -1;
    int fd = socket(address.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address.addr, address.len) != 0 || listen(fd, 8) != 0)
        return -1;
    return fd;
}

int cli_serve(int argc, char **argv)
{
    struct err err;
    log_init("manager", LOG_INFO);
    if (options_parse(&options, argc, argv, &err) != 0)
        return EXIT_USAGE;
    standin_did(&options.config, "manager", "started");
    if (standin_does(&options.config, "manager", "die")) {
        log_error("the store is damaged", LOG_S("file", "store.sqlite"));
        return EXIT_FAILED;
    }
    write_token();
    int fd = listen_on();
    for (unsigned count = 0; fd >= 0; count++) {
        char request[8192];
        int status, client = accept(fd, NULL, NULL);
        ssize_t got = client < 0 ? 0 : read(client, request, sizeof(request) - 1);
        if (got > 0) {
            request[got] = '\0';
            const char *body = answer(request, count, &status);
            dprintf(client, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body),
                    body);
        }
        if (client >= 0)
            close(client);
    }
    return EXIT_FAILED;
}
