#include "ssh_child.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How it works. Three handles: the process and the two pipes. What the pipes still hold when the
 * process has been reaped is read at once, not waited for: a program that ssh started (of a
 * ProxyCommand) may hold them open for long. The memory goes with the last handle.
 */
struct stream {
    uv_pipe_t pipe;
    struct ssh_child *child;
    bool is_err;
    char line[SSH_LINE_MAX + 1];
    size_t len;
    char bytes[4096];
};

struct ssh_child {
    uv_process_t process;
    struct stream streams[2]; /* stdout, stderr */
    const struct ssh_child_ops *ops;
    void *data;
    bool running, destroyed, *gone; /* gone: where to tell that it was destroyed in a callback */
    int open_handles;
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct ssh_child *child = handle->data;
    if (--child->open_handles == 0)
        free(child);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

/* False when the child was destroyed inside the callback. */
static bool tell_line(struct stream *stream)
{
    struct ssh_child *child = stream->child;
    bool gone = false;
    stream->line[stream->len] = '\0';
    stream->len = 0;
    child->gone = &gone;
    child->ops->on_line(stream->is_err, stream->line, child->data);
    if (gone)
        return false;
    child->gone = NULL;
    return true;
}

static bool take(struct stream *stream, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '\n') {
            if (!tell_line(stream))
                return false;
        } else if (byte != '\r' && stream->len < SSH_LINE_MAX) {
            stream->line[stream->len++] =
                (byte >= ' ' && byte < 0x7F) || byte == '\t' ? (char)byte : '?';
        }
    }
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    (void)wanted;
    struct ssh_child *child = handle->data;
    struct stream *stream = &child->streams[(uv_pipe_t *)handle == &child->streams[1].pipe];
    *buf = uv_buf_init(stream->bytes, sizeof(stream->bytes));
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *buf)
{
    struct ssh_child *child = handle->data;
    struct stream *stream = &child->streams[(uv_pipe_t *)handle == &child->streams[1].pipe];
    if (got > 0)
        take(stream, buf->base, (size_t)got);
    else if (got < 0)
        uv_read_stop(handle);
}

/* What is there now, and the unfinished last line. */
static bool drain(struct stream *stream)
{
    uv_os_fd_t fd;
    ssize_t got;
    while (
        uv_fileno((uv_handle_t *)&stream->pipe, &fd) == 0 &&
        ((got = read(fd, stream->bytes, sizeof(stream->bytes))) > 0 || (got < 0 && errno == EINTR)))
        if (got > 0 && !take(stream, stream->bytes, (size_t)got))
            return false;
    return stream->len == 0 || tell_line(stream);
}

static void on_process_exit(uv_process_t *process, int64_t exit_status, int signal)
{
    struct ssh_child *child = process->data;
    child->running = false;
    if (child->destroyed) {
        close_handle((uv_handle_t *)process);
        return;
    }
    if (drain(&child->streams[0]) && drain(&child->streams[1]))
        child->ops->on_ended(exit_status, signal, child->data);
}

/* The environment, and a word that keeps ssh (a jump host's too) from asking in a window. */
static char **make_environment(void)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **made = mem_calloc(count + 2, sizeof(*made));
    memcpy(made, environ, count * sizeof(*made));
    static char never[] = "SSH_ASKPASS_REQUIRE=never";
    made[count] = never;
    return made;
}

struct ssh_child *ssh_child_start(uv_loop_t *loop, char *const words[], int input,
                                  const struct ssh_child_ops *ops, void *data, struct err *err)
{
    static char setpriv[] = "setpriv", pdeathsig[] = "--pdeathsig", term[] = "TERM",
                dashes[] = "--";
    char *const before[] = {setpriv, pdeathsig, term, dashes};
    size_t count = 0;
    while (words[count])
        count++;
    cleanup_free char **argv = mem_calloc(ARRAY_LEN(before) + count + 1, sizeof(*argv));
    cleanup_free char **environment = make_environment();
    memcpy(argv, before, sizeof(before));
    memcpy(argv + ARRAY_LEN(before), words, count * sizeof(*words));
    struct ssh_child *child = mem_new(struct ssh_child);
    child->ops = ops;
    child->data = data;
    uv_stdio_container_t stdio[3] = {{.flags = input >= 0 ? UV_INHERIT_FD : UV_IGNORE}};
    stdio[0].data.fd = input;
    for (int i = 0; i < 2; i++) {
        struct stream *stream = &child->streams[i];
        stream->child = child;
        stream->is_err = i == 1;
        uv_pipe_init(loop, &stream->pipe, 0);
        stream->pipe.data = child;
        stdio[i + 1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        stdio[i + 1].data.stream = (uv_stream_t *)&stream->pipe;
    }
    const uv_process_options_t options = {
        .exit_cb = on_process_exit,
        .file = argv[0],
        .args = argv,
        .env = environment,
        .flags = UV_PROCESS_DETACHED, /* its own session: no terminal */
        .stdio_count = 3,
        .stdio = stdio,
    };
    child->open_handles = 3;
    int rc = uv_spawn(loop, &child->process, &options);
    child->process.data = child;
    child->running = rc == 0;
    if (rc != 0) {
        err_sys(err, ERR_INTERNAL, -rc, "cannot start %s", argv[0]);
        ssh_child_destroy(child);
        return NULL;
    }
    for (int i = 0; i < 2; i++)
        uv_read_start((uv_stream_t *)&child->streams[i].pipe, on_alloc, on_read);
    return child;
}

void ssh_child_destroy(struct ssh_child *child)
{
    if (!child)
        return;
    child->destroyed = true;
    if (child->gone)
        *child->gone = true;
    child->gone = NULL;
    for (int i = 0; i < 2; i++)
        close_handle((uv_handle_t *)&child->streams[i].pipe);
    if (child->running)
        uv_process_kill(&child->process, SIGTERM);
    else
        close_handle((uv_handle_t *)&child->process);
}

int ssh_child_pid(const struct ssh_child *child)
{
    return child->running ? uv_process_get_pid(&child->process) : 0;
}
