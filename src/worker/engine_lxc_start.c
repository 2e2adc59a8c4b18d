#include "engine_lxc_start.h"

#include "rootfs.h"

#include "../common/agent_wire.h"
#include "../common/fault.h"
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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Until what the worker could not be told is tried again. */
#define OWED_MS 20

struct starter {
    const struct start_config *config;
    int socket;
    int signals;               /* signalfd of SIGCHLD */
    struct rlimit descriptors; /* as they were, and as containers get them */
    char mount_point[START_PATH_MAX], lxc_path[START_PATH_MAX];
    struct child {
        pid_t pid; /* 0: it has ended, and the worker could not be told yet */
        uint64_t id;
        struct err err; /* of its end */
    } * children;
    size_t count, room;
    bool owes; /* one has ended so */
};

/* Stdio stays, what control groups are reached by, the socket, and one more unless it is -1. */
static int close_others(const struct starter *starter, int also)
{
    int kept[CGROUP_DESCRIPTORS_MOST + 2];
    size_t count = cgroup_descriptors(starter->config->cgroup, kept);
    kept[count++] = starter->socket;
    kept[count++] = also;
    return fd_close_others(STDERR_FILENO + 1, kept, count);
}

/* ---- the child: from fork to monitor ---- */

static void report_failure(const struct starter *starter, uint64_t id, const struct err *err)
{
    struct start_report report = {.id = id, .event = START_FAILED, .err = *err};
    FAULT(START_REPORT, -1, fd_send(starter->socket, &report, sizeof(report), NULL, 0));
}

static bool set_item(const char *key, const char *value, void *data)
{
    struct lxc_container *container = data;
    return container->set_config_item(container, key, value);
}

struct item {
    const char *key;
    char value[2 * START_PATH_MAX + 64];
};

#define ITEMS_MOST 24

struct items {
    struct item list[ITEMS_MOST];
    size_t count;
    bool cut; /* a value did not fit */
};

__attribute__((format(printf, 3, 4))) static void add_item(struct items *items, const char *key,
                                                           const char *fmt, ...)
{
    if (items->count == ITEMS_MOST)
        abort();
    struct item *item = &items->list[items->count++];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(item->value, sizeof(item->value), fmt, args);
    va_end(args);
    item->key = key;
    items->cut |= len < 0 || (size_t)len >= sizeof(item->value);
}

/* Every value here is ours or a checked name; nothing from a run enters a configuration. */
static void describe(struct items *items, const struct starter *starter,
                     const struct engine_spec *spec)
{
    const struct start_config *config = starter->config;
    uint32_t first = idmap_first(config->idmap, spec->slot);
    uint32_t count = idmap_count(config->idmap);
    add_item(items, "lxc.rootfs.path", "dir:%s/" ROOTFS_MERGED, starter->mount_point);
    add_item(items, "lxc.uts.name", "%s", spec->name);
    add_item(items, "lxc.idmap", "u 0 %" PRIu32 " %" PRIu32, first, count);
    add_item(items, "lxc.idmap", "g 0 %" PRIu32 " %" PRIu32, first, count);
    add_item(items, "lxc.net.0.type", "empty");
    add_item(items, "lxc.mount.auto", "proc:mixed sys:ro");
    add_item(items, "lxc.mount.entry", "%s/" ROOTFS_AGENT " %s none bind,ro 0 0",
             starter->mount_point, AGENT_PATH + 1);
    add_item(items, "lxc.mount.entry", "%s %s none bind,ro 0 0", config->agent_folder,
             AGENT_SOCKET_DIR + 1);
    add_item(items, "lxc.mount.entry", "%s/" ROOTFS_SHM " dev/shm none bind,create=dir 0 0",
             starter->mount_point);
    add_item(items, "lxc.tty.max", "0");
    add_item(items, "lxc.console.path", "none");
    add_item(items, "lxc.pty.max", "64");
    add_item(items, "lxc.signal.halt", "SIGKILL");
    if (config->apparmor)
        add_item(items, "lxc.apparmor.profile", "%s", config->apparmor);
    add_item(items, "lxc.log.level", "ERROR");
    if (!cgroup_by_lxc(config->cgroup))
        return;
    add_item(items, "lxc.cgroup.dir.container", "%s/%s", config->prefix, spec->name);
    add_item(items, "lxc.cgroup.dir.monitor", "%s" CGROUP_MONITOR_SUFFIX "/%s", config->prefix,
             spec->name);
    add_item(items, "lxc.cgroup.dir.monitor.pivot", "%s" CGROUP_PIVOT_SUFFIX, config->prefix);
}

static bool configure(struct lxc_container *container, const struct starter *starter,
                      const struct engine_spec *spec, struct err *err)
{
    struct items items = {.count = 0};
    describe(&items, starter, spec);
    if (items.cut) {
        err_set(err, ERR_INTERNAL, "paths.run_dir is too long");
        return false;
    }
    for (size_t i = 0; i < items.count; i++) {
        const struct item *item = &items.list[i];
        if (!FAULT(LXC_ITEM, false,
                   container->set_config_item(container, item->key, item->value))) {
            err_set(err, ERR_INTERNAL, "liblxc refuses %s = %s", item->key, item->value);
            return false;
        }
    }
    if (!cgroup_lxc_items(starter->config->cgroup, &spec->limits, set_item, container)) {
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

/* How the agent is executed: where LXC knows nothing of control groups with the descriptors by
 * which it joins its runner's.
 */
struct agent_words {
    char numbers[CGROUP_ROOTS_MOST][12];
    char *argv[2 + CGROUP_ROOTS_MOST + 1];
};

static int make_groups(const struct starter *starter, const struct engine_spec *spec,
                       struct agent_words *words, struct err *err)
{
    int joins[CGROUP_ROOTS_MOST];
    *words = (struct agent_words){.argv = {(char *)AGENT_PATH}};
    int count = cgroup_make_runner(starter->config->cgroup, spec->name, &spec->limits, joins, err);
    if (count > 0)
        words->argv[1] = (char *)AGENT_SOCKET_DIR;
    for (int i = 0; i < count; i++) {
        words->argv[2 + i] = words->numbers[i];
        str_format(words->numbers[i], sizeof(words->numbers[i]), "%d", joins[i]);
    }
    return count < 0 ? -1 : 0;
}

/* Runs liblxc; returns when the container has ended, or never began. */
static void run_container(const struct starter *starter, const struct start_request *request)
{
    struct err err;
    cleanup_close int log = FAULT(START_LOG, -1, memfd_create("lxc-log", MFD_CLOEXEC));
    char log_path[32];
    str_format(log_path, sizeof(log_path), "/proc/self/fd/%d", log);
    struct lxc_container *container =
        FAULT(LXC_NEW, NULL, lxc_container_new(request->spec.name, starter->lxc_path));
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
    struct agent_words agent;
    if (make_groups(starter, &request->spec, &agent, &err) != 0) {
        report_failure(starter, request->id, &err);
        return;
    }
    if (!FAULT(LXC_START, false, container->start(container, 0, agent.argv))) {
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
    /* The starter's namespaces and so on are not the monitor's: it would hold them for as long as
     * its container lives.
     */
    if (FAULT(START_CLOSE, -1, close_others(starter, userns)) != 0 ||
        FAULT(START_LIMIT, -1, setrlimit(RLIMIT_NOFILE, &starter->descriptors)) != 0) {
        err_sys(&err, ERR_INTERNAL, errno, "cannot arrange descriptors");
        report_failure(starter, request->id, &err);
        return;
    }
    const struct rootfs_spec rootfs = {
        .template_path = request->rootfs,
        .userns = userns,
        .first_id = idmap_first(starter->config->idmap, request->spec.slot),
        .disk_bytes = request->spec.disk_bytes,
        .disk_inodes = request->spec.disk_inodes,
        .agent = starter->config->agent,
        .mount_point = starter->mount_point,
    };
    int mounted = rootfs_mount(&rootfs, &err);
    close(userns);
    if (mounted != 0) {
        report_failure(starter, request->id, &err);
        return;
    }
    run_container(starter, request);
    /* Its groups are LXC's to remove, or ours. What cannot be just now the worker tries again. */
    if (!cgroup_by_lxc(starter->config->cgroup))
        cgroup_try_remove(starter->config->cgroup, request->spec.name, false);
}

/* ---- the starter ---- */

static void forget_child(struct starter *starter, size_t index)
{
    starter->children[index] = starter->children[--starter->count];
}

/* A monitor that was killed or crashed says nothing itself. */
static void describe_end(int status, struct err *err)
{
    if (WIFSIGNALED(status))
        err_set(err, ERR_BAD_GATEWAY, "its monitor was killed by signal %d", WTERMSIG(status));
}

/* Nobody else says so, hence it must arrive: the kernel may have no memory for it just now. */
static bool tell_end(const struct starter *starter, const struct child *child)
{
    const struct start_report report = {.id = child->id, .event = START_ENDED, .err = child->err};
    return FAULT(END_REPORT, -1, fd_send(starter->socket, &report, sizeof(report), NULL, 0)) == 0;
}

static void tell_ends(struct starter *starter)
{
    starter->owes = false;
    for (size_t i = starter->count; i-- > 0;) {
        if (starter->children[i].pid != 0)
            continue;
        if (tell_end(starter, &starter->children[i]))
            forget_child(starter, i);
        else
            starter->owes = true;
    }
}

static void note_end(struct starter *starter, pid_t pid, int status)
{
    for (size_t i = 0; i < starter->count; i++) {
        if (starter->children[i].pid != pid)
            continue;
        starter->children[i].pid = 0;
        describe_end(status, &starter->children[i].err);
        starter->owes = true;
        return;
    }
}

static void reap(struct starter *starter)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        note_end(starter, pid, status);
    }
}

static struct child *note_child(struct starter *starter, pid_t pid, uint64_t id)
{
    if (starter->count == starter->room) {
        starter->room = starter->room ? 2 * starter->room : 64;
        starter->children =
            mem_realloc(starter->children, starter->room * sizeof(*starter->children));
    }
    struct child *child = &starter->children[starter->count++];
    *child = (struct child){.pid = pid, .id = id};
    return child;
}

_Noreturn static void child_main(const struct starter *starter, const struct start_request *request,
                                 int userns)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_NAME, "codeland-monitor");
    fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj", START_OOM_SCORE);
    sigprocmask(SIG_SETMASK, &none, NULL);
    become_monitor(starter, request, userns);
    _exit(0); /* liblxc's exit handlers are not for a forked child */
}

static void start(struct starter *starter, const struct start_request *request)
{
    struct err err = {0};
    int userns = idmap_userns(starter->config->idmap, request->spec.slot, &err);
    pid_t pid = userns < 0 ? -1 : FAULT(START_FORK, -1, fork());
    if (pid == 0)
        child_main(starter, request, userns);
    if (pid < 0 && userns >= 0)
        err_sys(&err, ERR_INTERNAL, errno, "cannot fork");
    note_child(starter, pid > 0 ? pid : 0, request->id)->err = err;
    starter->owes = starter->owes || pid < 0;
}

/* The container dies with its monitor (LXC sets PR_SET_PDEATHSIG in its init). */
static void kill_child(const struct starter *starter, uint64_t id)
{
    for (size_t i = 0; i < starter->count; i++)
        if (starter->children[i].id == id && starter->children[i].pid > 0)
            kill(starter->children[i].pid, SIGKILL);
}

/* An empty file system of the starter's own over a folder that may not exist. */
static int cover(const char *folder, struct err *err)
{
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make %s", folder);
    if (FAULT(STARTER_COVER, -1, mount("codeland", folder, "tmpfs", 0, "mode=0755,size=1m")) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot cover %s", folder);
    return 0;
}

/* liblxc takes its own folder from its global configuration alone, and reads that from one fixed
 * path: a file of ours covers it where only the starter and its children see it. So are the folders
 * in which liblxc makes lock files, and so are the control groups where it shall not find any.
 */
static int arrange_mounts(const struct starter *starter, struct err *err)
{
    char text[START_PATH_MAX + 128];
    if (!str_format(text, sizeof(text), "lxc.lxcpath = %s\n", starter->lxc_path))
        return err_set(err, ERR_INTERNAL, "path too long: %s", starter->lxc_path);
    if (FAULT(STARTER_UNSHARE, -1, unshare(CLONE_NEWNS)) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot enter a private mount namespace");
    if (!cgroup_by_lxc(starter->config->cgroup) && cover("/sys/fs/cgroup", err) != 0)
        return -1;
    if (cover("/etc/lxc", err) != 0 || cover("/run/lxc", err) != 0)
        return -1;
    return fd_replace_file("/etc/lxc/lxc.conf", text, strlen(text), 0644, false, err);
}

/* Each slot's user namespace takes one, and the usual soft limit is 1,024. */
static int raise_descriptors(struct starter *starter, struct err *err)
{
    if (getrlimit(RLIMIT_NOFILE, &starter->descriptors) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "getrlimit");
    struct rlimit most = {starter->descriptors.rlim_max, starter->descriptors.rlim_max};
    if (FAULT(STARTER_LIMIT, -1, setrlimit(RLIMIT_NOFILE, &most)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "setrlimit");
    return 0;
}

/* These characters mean something in a line of mounts, or among an overlay's options. */
static int check_path(const char *path, struct err *err)
{
    if (strpbrk(path, " \t\n\\,:"))
        return err_set(err, ERR_INTERNAL, "paths.run_dir: \"%s\" holds a blank, ',', ':' or '\\'",
                       path);
    return 0;
}

bool start_mount_point(const char *run_dir, char path[START_PATH_MAX])
{
    return str_format(path, START_PATH_MAX, "%s/root", run_dir);
}

static int prepare(struct starter *starter, struct err *err)
{
    const char *run_dir = starter->config->run_dir;
    if (check_path(run_dir, err) != 0)
        return -1;
    if (!start_mount_point(run_dir, starter->mount_point) ||
        !str_format(starter->lxc_path, START_PATH_MAX, "%s/lxc", run_dir))
        return err_set(err, ERR_INTERNAL, "path too long: %s", run_dir);
    if (fd_mkdirs(starter->mount_point, 0755, err) != 0 ||
        fd_mkdirs(starter->lxc_path, 0755, err) != 0 || raise_descriptors(starter, err) != 0)
        return -1;
    /* For the agents (agent/init.c), which may not raise it: sudo for one starts us with 0. Without
     * CAP_SYS_RESOURCE neither may we, and 0 it stays.
     */
    setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1});
    /* Without newuidmap on its PATH, liblxc writes the maps itself: 13 → 7 ms a start. */
    if (setenv("PATH", "/nonexistent", 1) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "setenv");
    if (cgroup_join_monitors(starter->config->cgroup, err) != 0)
        return -1;
    return arrange_mounts(starter, err);
}

static void serve(struct starter *starter)
{
    struct pollfd ready[2] = {
        {.fd = starter->socket, .events = POLLIN},
        {.fd = starter->signals, .events = POLLIN},
    };
    for (;;) {
        if (poll(ready, 2, starter->owes ? OWED_MS : -1) < 0 && errno != EINTR)
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
        if (starter->owes)
            tell_ends(starter);
    }
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
    /* The worker decides when all ends, not the terminal from which it was started. */
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    /* What the worker had open is the worker's: a monitor that inherited its lock would keep the
     * next worker out.
     */
    if (FAULT(STARTER_CLOSE, -1, close_others(starter, -1)) == 0)
        starter->signals =
            FAULT(STARTER_SIGNALS, -1, signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
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
    if (FAULT(STARTER_PAIR, -1, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "socketpair");
    *pid = FAULT(STARTER_FORK, -1, fork());
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
