/* Stands in for codeland-worker: a socket, a log line, an orphan, and an end by SIGINT. */
#include "standin.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/log.h"
#include "../../../src/common/str.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct options options;

/* What a container's monitor is to the real one: a child in a session of its own. */
static void leave_orphan(void)
{
    if (fork() == 0) {
        char pid[16];
        setsid();
        str_format(pid, sizeof(pid), "%d", (int)getpid());
        standin_did(&options.config, "orphan", pid);
        for (;;)
            pause();
    }
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    str_format(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0)
        exit(1);
    return fd;
}

int main(int argc, char **argv)
{
    struct err err;
    char path[200];
    signal(SIGPIPE, SIG_IGN);
    if (options_parse(&options, argc, argv, &err) != 0 ||
        standin_does(&options.config, "worker", "refuse")) {
        fprintf(stderr, "codeland-worker: oven.template: no good\n");
        return 2;
    }
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    log_init("worker", LOG_INFO);
    standin_did(&options.config, "worker", "started");
    str_format(path, sizeof(path), "%s/worker.sock", options.config.paths_run_dir);
    int socket_fd = listen_on(path);
    if (standin_does(&options.config, "worker", "orphan"))
        leave_orphan();
    log_info("started");
    log_warn("memory is short", LOG_D("percent", 91));
    int came = 0;
    while (sigwait(&stop, &came), standin_does(&options.config, "worker", "deaf"))
        standin_did(&options.config, "worker", "deaf");
    standin_did(&options.config, "worker", came == SIGINT ? "stopped by SIGINT" : "SIGTERM");
    close(socket_fd);
    unlink(path);
    return 0;
}
