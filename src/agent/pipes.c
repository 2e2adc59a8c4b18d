#include "pipes.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

void pipes_init(struct pipes *pipes, uint64_t output_bytes)
{
    uint64_t wanted = output_bytes < AGENT_OUTPUT_ALL ? output_bytes + 1 : AGENT_OUTPUT_ALL;
    *pipes = (struct pipes){
        .in = {.fd = -1},
        .out = {{.fd = -1}, {.fd = -1}},
        .wanted_bytes = {wanted, wanted},
    };
}

static int make(int *ours, int *program, bool program_reads, uid_t uid)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    *ours = ends[program_reads ? 1 : 0];
    *program = ends[program_reads ? 0 : 1];
    /* The user's, or else the program could not open /dev/stderr. */
    if (uid != 0 && fchown(*ours, uid, uid) != 0)
        return -1;
    return fd_set_nonblock(*ours, true);
}

int pipes_make(struct pipes *pipes, uid_t uid, int program_ends[3])
{
    for (int i = 0; i < 3; i++)
        program_ends[i] = -1;
    if (make(&pipes->in.fd, &program_ends[0], true, uid) == 0 &&
        make(&pipes->out[0].fd, &program_ends[1], false, uid) == 0 &&
        make(&pipes->out[1].fd, &program_ends[2], false, uid) == 0)
        return 0;
    int failed = errno;
    pipes_close(pipes);
    for (int i = 0; i < 3; i++)
        fd_close(&program_ends[i]);
    errno = failed;
    return -1;
}

void pipes_close(struct pipes *pipes)
{
    pipes_close_in(pipes);
    watch_close(&pipes->out[0]);
    watch_close(&pipes->out[1]);
}

void pipes_close_in(struct pipes *pipes)
{
    watch_close(&pipes->in);
    pipes->in_full = false;
}

bool pipes_feed(struct pipes *pipes, const void *data, size_t len)
{
    pipes->in_full = false;
    while (pipes->in.fd >= 0 && pipes->in_done < len) {
        ssize_t written =
            write(pipes->in.fd, (const char *)data + pipes->in_done, len - pipes->in_done);
        if (written >= 0) {
            pipes->in_done += (size_t)written;
        } else if (errno == EAGAIN) {
            pipes->in_full = true;
            return false;
        } else if (errno != EINTR) {
            pipes_close_in(pipes); /* the program has closed its end, which is no error */
        }
    }
    pipes->in_done = 0;
    return true;
}

ssize_t pipes_relay(struct pipes *pipes, int which, struct outbox *outbox, int socket)
{
    struct watch *out = &pipes->out[which];
    int64_t *owed = &pipes->owed_bytes[which];
    uint64_t *wanted = &pipes->wanted_bytes[which];
    bool drop = *wanted == 0;
    size_t most = drop || *wanted > FRAME_DATA_MAX ? FRAME_DATA_MAX : *wanted;
    ssize_t got = outbox_relay(outbox, drop ? -1 : socket, which == 0 ? FRAME_STDOUT : FRAME_STDERR,
                               out->fd, most);
    if (got > 0)
        *owed -= got < *owed ? got : *owed;
    if (got > 0 && !drop)
        *wanted -= (uint64_t)got;
    if (got == 0)
        watch_close(out);
    if (got == 0 || (got < 0 && errno == EAGAIN))
        *owed = 0; /* the runner's user may read its pipes too: what is gone is gone */
    return got;
}

void pipes_note_end(struct pipes *pipes)
{
    for (int i = 0; i < 2; i++) {
        int left;
        if (pipes->out[i].fd >= 0 && ioctl(pipes->out[i].fd, FIONREAD, &left) == 0)
            pipes->owed_bytes[i] = left;
    }
}

bool pipes_are_over(const struct pipes *pipes)
{
    return pipes->out[0].fd < 0 && pipes->out[1].fd < 0;
}

int pipes_watch(struct pipes *pipes, struct watch_tag tag, bool take_output)
{
    tag.source = WATCH_OP_STDIN;
    if (watch_set(&pipes->in, tag, pipes->in_full ? EPOLLOUT : 0) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        tag.source = i == 0 ? WATCH_OP_STDOUT : WATCH_OP_STDERR;
        if (watch_set(&pipes->out[i], tag, take_output ? EPOLLIN : 0) != 0)
            return -1;
    }
    return 0;
}
