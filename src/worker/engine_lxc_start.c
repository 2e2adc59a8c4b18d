#include "engine_lxc_start.h"

#include "rootfs.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lxc/lxccontainer.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct starter {
    const struct start_config *config;
    int socket;
    int signals; /* signalfd of SIGCHLD */
    char mount_point[START_PATH_MAX], lxc_path[START_PATH_MAX];
    struct child {
        pid_t pid;
        uint64_t id;
    } * children;
    size_t count, room;
};

/* ---- the child: from fork to monitor ---- */

static void report_failure(const struct starter *starter, uint64_t id, const struct err *err)
{
    struct start_report report = {.id = id, .event = START_FAILED, .pid = getpid(), .err = *err};
    fd_send(starter->socket, &report, sizeof(report), NULL, 0);
}

static bool set_item(const char *key, const char *value, void *data)
{
    struct lxc_container *container = data;
    return container->set_config_item(container, key, value);
}

/* Every value here is ours or a checked name; nothing from a run enters a configuration. */
static bool configure(struct lxc_container *container, const struct starter *starter,
                      const struct engine_spec *spec, struct err *err)
{
    const struct start_config *config = starter->config;
    uint32_t first = idmap_first(config->idmap, spec->slot);
    uint32_t count = idmap_first(config->idmap, spec->slot + 1) - first;
    char root[START_PATH_MAX + 32], uids[64], gids[64], agent[2 * START_PATH_MAX],
        folder[2 * START_PATH_MAX], payload[128], monitor[128], pivot[128];
    str_format(root, sizeof(root), "dir:%s/" ROOTFS_MERGED, starter->mount_point);
    str_format(uids, sizeof(uids), "u 0 %" PRIu32 " %" PRIu32, first, count);
    str_format(gids, sizeof(gids), "g 0 %" PRIu32 " %" PRIu32, first, count);
    str_format(agent, sizeof(agent), "%s %s none bind,ro 0 0", config->agent, AGENT_PATH + 1);
    str_format(folder, sizeof(folder), "%s %s none bind,ro 0 0", config->agent_folder,
               AGENT_SOCKET_DIR + 1);
    str_format(payload, sizeof(payload), "%s/%s", config->prefix, spec->name);
    str_format(monitor, sizeof(monitor), "%s" CGROUP_MONITOR_SUFFIX "/%s", config->prefix,
               spec->name);
    str_format(pivot, sizeof(pivot), "%s" CGROUP_PIVOT_SUFFIX, config->prefix);
    const struct {
        const char *key, *value;
    } items[] = {
        {"lxc.rootfs.path", root},
        {"lxc.uts.name", spec->name},
        {"lxc.idmap", uids},
        {"lxc.idmap", gids},
        {"lxc.net.0.type", "empty"},
        {"lxc.mount.auto", "proc:mixed sys:ro"},
        {"lxc.mount.entry", agent},
        {"lxc.mount.entry", folder},
        {"lxc.tty.max", "0"},
        {"lxc.console.path", "none"},
        {"lxc.pty.max", "64"},
        {"lxc.signal.halt", "SIGKILL"},
        {"lxc.cgroup.dir.container", payload},
        {"lxc.cgroup.dir.monitor", monitor},
        {"lxc.cgroup.dir.monitor.pivot", pivot},
        {"lxc.log.level", "ERROR"},
    };
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        if (!container->set_config_item(container, items[i].key, items[i].value)) {
            err_set(err, ERR_INTERNAL, "liblxc refuses %s = %s", items[i].key, items[i].value);
            return false;
        }
    }
    if (!cgroup_lxc_items(config->cgroup, &spec->limits, set_item, container)) {
        err_set(err, ERR_INTERNAL, "liblxc refuses the limits");
        return false;
    }
    return true;
}

/* The last error that liblxc logged, without its prefix, so that a person can read it. */
static void read_lxc_log(int log, char *text, size_t room)
{
    char all[8192];
    ssize_t len = pread(log, all, sizeof(all) - 1, 0);
    text[0] = '\0';
    if (len <= 0)
        return;
    all[len] = '\0';
    /* The first error is the cause, those after it are its consequences. */
    char *line = strtok(all, "\n"); /* "NAME TIME ERROR file - path.c:function:line - message" */
    char *message = line ? strstr(line, " - ") : NULL;
    if (message && strstr(message + 3, " - "))
        message = strstr(message + 3, " - ");
    if (message)
        str_format(text, room, "%.150s", message + 3);
}

/* Runs liblxc; returns when the container has ended, or never began. */
static void run_container(const struct starter *starter, const struct start_request *request)
{
    struct err err;
    cleanup_close int log = memfd_create("lxc-log", MFD_CLOEXEC);
    char log_path[32];
    str_format(log_path, sizeof(log_path), "/proc/self/fd/%d", log);
    struct lxc_container *container = lxc_container_new(request->spec.name, starter->lxc_path);
    if (!container) {
        err_set(&err, ERR_INTERNAL, "lxc_container_new failed");
        report_failure(starter, request->id, &err);
        return;
    }
    container->set_config_item(container, "lxc.log.file", log_path);
    if (!configure(container, starter, &request->spec, &err)) {
        report_failure(starter, request->id, &err);
        return;
    }
    container->want_daemonize(container, false);
    char *const argv[] = {(char *)AGENT_PATH, NULL};
    if (!container->start(container, 0, argv)) {
        char text[200];
        read_lxc_log(log, text, sizeof(text));
        err_set(&err, ERR_INTERNAL, "liblxc could not start the container%s%s", text[0] ? ": " : "",
                text);
        report_failure(starter, request->id, &err);
    }
}

static void become_monitor(const struct starter *starter, const struct start_request *request,
                           int userns)
{
    struct err err;
    const struct rootfs_spec rootfs = {
        .template_path = request->rootfs,
        .userns = userns,
        .first_id = idmap_first(starter->config->idmap, request->spec.slot),
        .disk_bytes = request->spec.disk_bytes,
        .disk_inodes = request->spec.disk_inodes,
        .mount_point = starter->mount_point,
    };
    if (rootfs_mount(&rootfs, &err) != 0) {
        report_failure(starter, request->id, &err);
        return;
    }
    run_container(starter, request);
}

/* ---- the starter ---- */

static void forget_child(struct starter *starter, size_t index)
{
    starter->children[index] = starter->children[--starter->count];
}

static void reap(struct starter *starter)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        for (size_t i = 0; i < starter->count; i++) {
            if (starter->children[i].pid != pid)
                continue;
            struct start_report report = {
                .id = starter->children[i].id, .event = START_ENDED, .pid = pid};
            fd_send(starter->socket, &report, sizeof(report), NULL, 0);
            forget_child(starter, i);
            break;
        }
    }
}

static void note_child(struct starter *starter, pid_t pid, uint64_t id)
{
    if (starter->count == starter->room) {
        starter->room = starter->room ? 2 * starter->room : 64;
        starter->children =
            mem_realloc(starter->children, starter->room * sizeof(*starter->children));
    }
    starter->children[starter->count++] = (struct child){.pid = pid, .id = id};
}

static void start(struct starter *starter, const struct start_request *request)
{
    struct start_report report = {.id = request->id, .event = START_FAILED};
    int userns = idmap_userns(starter->config->idmap, request->spec.slot, &report.err);
    pid_t pid = userns < 0 ? -1 : fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "codeland-monitor");
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        become_monitor(starter, request, userns);
        _exit(0); /* liblxc's exit handlers are not for a forked child */
    }
    if (pid > 0) {
        note_child(starter, pid, request->id);
        report.event = START_STARTED;
        report.pid = pid;
        fd_send(starter->socket, &report, sizeof(report), NULL, 0);
        return;
    }
    if (userns >= 0)
        err_sys(&report.err, ERR_INTERNAL, errno, "cannot fork");
    fd_send(starter->socket, &report, sizeof(report), NULL, 0);
    report.event = START_ENDED;
    fd_send(starter->socket, &report, sizeof(report), NULL, 0);
}

/* The container dies with its monitor (LXC sets PR_SET_PDEATHSIG in its init). */
static void kill_child(const struct starter *starter, uint64_t id)
{
    for (size_t i = 0; i < starter->count; i++)
        if (starter->children[i].id == id)
            kill(starter->children[i].pid, SIGKILL);
}

/* liblxc takes lxc.cgroup.use from its global configuration alone, and reads that from one fixed
 * path: a file of ours covers it where only the starter and its children see it. There, on a hybrid
 * host, the unified hierarchy is taken away too: it has no controllers, and LXC would make three
 * folders in it per container (a tenth of the start).
 */
static int replace_global_config(const struct starter *starter, struct err *err)
{
    char text[256];
    const char *use = cgroup_lxc_use(starter->config->cgroup);
    str_format(text, sizeof(text), "lxc.lxcpath = %s\n%s%s\n", starter->lxc_path,
               use[0] ? "lxc.cgroup.use = " : "", use);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot enter a private mount namespace");
    if (use[0])
        umount2("/sys/fs/cgroup/unified", MNT_DETACH); /* a v1 host need not have it */
    if (mkdir("/etc/lxc", 0755) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make /etc/lxc");
    if (mount("codeland", "/etc/lxc", "tmpfs", 0, "mode=0755,size=64k") != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot cover /etc/lxc");
    return fd_replace_file("/etc/lxc/lxc.conf", text, strlen(text), 0644, false, err);
}

static int prepare(struct starter *starter, struct err *err)
{
    const char *run_dir = starter->config->run_dir;
    if (!str_format(starter->mount_point, START_PATH_MAX, "%s/root", run_dir) ||
        !str_format(starter->lxc_path, START_PATH_MAX, "%s/lxc", run_dir))
        return err_set(err, ERR_INTERNAL, "%s: path too long", run_dir);
    if (fd_mkdirs(starter->mount_point, 0755, err) != 0 ||
        fd_mkdirs(starter->lxc_path, 0755, err) != 0)
        return -1;
    /* Without newuidmap on its PATH, liblxc writes the maps itself: 13 → 7 ms a start. */
    if (setenv("PATH", "/nonexistent", 1) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "setenv");
    return replace_global_config(starter, err);
}

static void serve(struct starter *starter)
{
    struct pollfd ready[2] = {
        {.fd = starter->socket, .events = POLLIN},
        {.fd = starter->signals, .events = POLLIN},
    };
    for (;;) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return;
        if (ready[1].revents) {
            struct signalfd_siginfo info;
            while (read(starter->signals, &info, sizeof(info)) > 0)
                ;
            reap(starter);
        }
        if (ready[0].revents) {
            struct start_request request;
            ssize_t len = recv(starter->socket, &request, sizeof(request), 0);
            if (len == 0 || (len < 0 && errno != EINTR))
                return;
            if (len == (ssize_t)sizeof(request) && request.kill)
                kill_child(starter, request.id);
            else if (len == (ssize_t)sizeof(request))
                start(starter, &request);
        }
    }
}

/* What the worker had open is the worker's: a monitor that inherited its lock would keep the next
 * worker out. Only the socket stays, as descriptor 3.
 */
static int keep_only_socket(struct starter *starter)
{
    if (starter->socket != 3 && dup3(starter->socket, 3, O_CLOEXEC) != 3)
        return -1;
    starter->socket = 3;
    return close_range(4, ~0U, 0);
}

/* Monitors outlive the worker and its supervisor, who may wait for the end of these. */
static void leave_stdio(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    close(null);
}

_Noreturn static void starter_main(struct starter *starter)
{
    struct err err = {0};
    prctl(PR_SET_NAME, "codeland-starter");
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_SETMASK, &child, NULL);
    signal(SIGINT, SIG_IGN); /* the worker decides when all ends */
    signal(SIGTERM, SIG_IGN);
    if (keep_only_socket(starter) == 0)
        starter->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (starter->signals <= 0)
        err_sys(&err, ERR_INTERNAL, errno, "cannot arrange descriptors");
    if (starter->signals <= 0 || prepare(starter, &err) != 0) {
        log_error("the starter cannot start", LOG_ERR(&err));
        _exit(1);
    }
    leave_stdio();
    serve(starter);
    _exit(0);
}

int starter_spawn(const struct start_config *config, pid_t *pid, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    *pid = fork();
    if (*pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return err_sys(err, ERR_INTERNAL, errno, "cannot fork");
    }
    if (*pid == 0) {
        close(pair[0]);
        struct starter starter = {.config = config, .socket = pair[1]};
        starter_main(&starter);
    }
    close(pair[1]);
    fd_set_nonblock(pair[0], true);
    return pair[0];
}
