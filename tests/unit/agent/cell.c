#include "cell.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_ID "100000" /* of the cell's ids here; nothing of this machine belongs to them */

static int agent_program = -1;
static bool checked;

void cell_init(int argc, char **argv)
{
    if (argc < 2 || (agent_program = open(argv[1], O_PATH)) < 0) {
        fprintf(stderr, "usage: %s AGENT [checked]\n", argv[0]);
        exit(2);
    }
    checked = argc > 2 && strcmp(argv[2], "checked") == 0;
}

bool cell_is_checked(void)
{
    return checked;
}

/* ---- inside, before the agent ---- */

static void must(bool good, const char *what)
{
    if (good)
        return;
    dprintf(STDERR_FILENO, "this machine cannot %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void mount_tmpfs(const char *path, const char *options)
{
    must(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0, path);
}

_Noreturn static void become_agent(const struct cell *cell, size_t home_bytes, int mapped)
{
    char byte, options[64];
    must(read(mapped, &byte, 1) == 1, "map ids");
    must(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "become the cell's root");
    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "die with the test");
    must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "own its mounts");
    must(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount /proc");
    snprintf(options, sizeof(options), "mode=755,size=%zu", home_bytes);
    mount_tmpfs("/home", options);
    must(mkdir("/home/runner", 0755) == 0 && chown("/home/runner", 1000, 1000) == 0, "make a home");
    mount_tmpfs("/root", "mode=700");
    mount_tmpfs("/run", "mode=755");
    must(mkdir(AGENT_SOCKET_DIR, 0755) == 0, "make the socket's folder");
    must(mount(cell->folder, AGENT_SOCKET_DIR, NULL, MS_BIND, NULL) == 0, "bind a folder");
    const char *const argv[] = {"crunner", NULL}, *const env[] = {NULL};
    syscall(SYS_execveat, agent_program, "", argv, env, AT_EMPTY_PATH);
    must(false, "execute the agent");
    abort();
}

/* ---- outside ---- */

static void write_map(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    assert_int_equal(fd_write_file(AT_FDCWD, path, "0 " FIRST_ID " 65536"), 0);
}

void cell_listen(struct cell *cell)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(str_format(address.sun_path, sizeof(address.sun_path), "%s/" AGENT_SOCKET_NAME,
                           cell->folder));
    cell->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(cell->listener >= 0);
    assert_int_equal(bind(cell->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(chmod(address.sun_path, 0666), 0);
    assert_int_equal(listen(cell->listener, 8), 0);
}

void cell_unlisten(struct cell *cell)
{
    fd_close(&cell->listener);
    fd_close(&cell->control);
    assert_int_equal(unlink(scratch_path(cell->folder, AGENT_SOCKET_NAME)), 0);
}

static void await_input(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, CELL_DEADLINE_MS) != 1)
        fail_msg("the agent does not show up");
}

void cell_accept(struct cell *cell, struct agent_hello *hello)
{
    unsigned char data[256];
    fd_close(&cell->control);
    await_input(cell->listener);
    cell->control = accept4(cell->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(cell->control >= 0);
    await_input(cell->control);
    ssize_t len = recv(cell->control, data, sizeof(data), 0);
    assert_true(len > 0);
    struct frame frame;
    size_t used;
    assert_int_equal(frame_parse(data, (size_t)len, &frame, &used), FRAME_OK);
    assert_int_equal(used, len);
    assert_int_equal(frame.type, FRAME_AGENT_HELLO);
    assert_true(agent_hello_decode(frame.payload, frame.len, hello));
}

void cell_start(struct cell *cell, size_t home_bytes)
{
    *cell = (struct cell){.listener = -1, .control = -1};
    scratch_make(cell->folder);
    assert_int_equal(chmod(cell->folder, 0755), 0);
    cell_listen(cell);
    int mapped[2];
    assert_int_equal(pipe2(mapped, O_CLOEXEC), 0);
    const int flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                      CLONE_NEWUTS | SIGCHLD;
    cell->pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
    if (cell->pid < 0)
        fail_msg("this machine cannot make namespaces: %s", strerror(errno));
    if (cell->pid == 0)
        become_agent(cell, home_bytes, mapped[0]);
    write_map(cell->pid, "uid_map");
    write_map(cell->pid, "gid_map");
    assert_int_equal(write(mapped[1], "", 1), 1);
    close(mapped[0]);
    close(mapped[1]);
    struct agent_hello hello;
    cell_accept(cell, &hello);
}

void cell_stop(struct cell *cell)
{
    int status;
    bool died = waitpid(cell->pid, &status, WNOHANG) != 0;
    if (!died) {
        kill(cell->pid, SIGKILL);
        assert_int_equal(waitpid(cell->pid, &status, 0), cell->pid);
    }
    if (died || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the agent has died by itself: wait status %#x", (unsigned)status);
    fd_close(&cell->listener);
    fd_close(&cell->control);
    scratch_remove(cell->folder);
}

int cell_setup(void **state)
{
    struct cell *cell = malloc(sizeof(*cell));
    cell_start(cell, 64 << 20);
    *state = cell;
    return 0;
}

int cell_teardown(void **state)
{
    cell_stop(*state);
    free(*state);
    return 0;
}

int cell_open(struct cell *cell, int cgroup, uint64_t output_bytes)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const struct agent_open open = {.id = 1, .output_bytes = output_bytes};
    unsigned char frame[FRAME_HEADER_LEN + 16];
    size_t len = agent_open_encode(&open, frame + FRAME_HEADER_LEN, 16);
    frame_put_header(frame, FRAME_AGENT_OPEN, 0, (uint32_t)len);
    const int fds[2] = {pair[1], cgroup};
    assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN + len, fds, cgroup < 0 ? 1 : 2),
                     0);
    close(pair[1]);
    return pair[0];
}

void cell_signal(struct cell *cell, uint32_t signal, bool group)
{
    const struct agent_op_signal message = {.id = 1, .signal = signal, .group = group};
    unsigned char frame[FRAME_HEADER_LEN + 16];
    size_t len = agent_op_signal_encode(&message, frame + FRAME_HEADER_LEN, 16);
    frame_put_header(frame, FRAME_AGENT_OP_SIGNAL, 0, (uint32_t)len);
    assert_int_equal(fd_send(cell->control, frame, FRAME_HEADER_LEN + len, NULL, 0), 0);
}

const char *cell_status_line(pid_t pid, const char *key)
{
    static char text[8192];
    char path[64];
    size_t len = strlen(key);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (fd_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
        return "";
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, key, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, "\t ");
    return "";
}

size_t cell_resident_bytes(const struct cell *cell)
{
    return strtoul(cell_status_line(cell->pid, "VmRSS"), NULL, 10) * 1024;
}

size_t cell_own_bytes(const struct cell *cell)
{
    return strtoul(cell_status_line(cell->pid, "RssAnon"), NULL, 10) * 1024;
}

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *entries = opendir(path);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

unsigned cell_descriptors(const struct cell *cell)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)cell->pid);
    return count_entries(path);
}

static ino_t pid_namespace(pid_t pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Calls each for every process of the cell but the agent, until it returns true. */
static pid_t each_process(const struct cell *cell, bool (*each)(pid_t pid, void *data), void *data)
{
    ino_t ours = pid_namespace(cell->pid);
    pid_t found = 0;
    DIR *entries = opendir("/proc");
    assert_non_null(entries);
    for (struct dirent *entry; !found && (entry = readdir(entries));) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && pid != cell->pid && pid_namespace(pid) == ours && each(pid, data))
            found = pid;
    }
    closedir(entries);
    return found;
}

static bool has_pid_inside(pid_t pid, void *data)
{
    const char *numbers = cell_status_line(pid, "NSpid"); /* "HERE INSIDE" */
    const char *inside = strchr(numbers, '\t');
    return inside && strtoul(inside, NULL, 10) == *(uint32_t *)data;
}

pid_t cell_find(const struct cell *cell, uint32_t pid_inside)
{
    return each_process(cell, has_pid_inside, &pid_inside);
}

struct census {
    unsigned all, zombies;
};

static bool count_process(pid_t pid, void *data)
{
    struct census *census = data;
    census->all++;
    census->zombies += cell_status_line(pid, "State")[0] == 'Z';
    return false;
}

unsigned cell_processes(const struct cell *cell, unsigned *zombies)
{
    struct census census = {0};
    each_process(cell, count_process, &census);
    if (zombies)
        *zombies = census.zombies;
    return census.all;
}

int cell_nap(void)
{
    poll(NULL, 0, 5);
    return 5;
}
