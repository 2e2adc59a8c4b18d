/* How it works. A slot goes through
 *
 *     FREE → SETUP → RUNNING → EXITED → CLOSING → DRAINING → FREE
 *
 * SETUP: files come, then AGENT_EXEC. RUNNING: the program runs. EXITED: it was reaped, and its
 * output is being delivered: up to the end of both pipes or, when others hold them, what was in
 * them at its end and what follows within OP_GRACE_US. CLOSING: the last frame is queued. DRAINING:
 * the socket is closed, and what background processes still write is read and dropped, so that they
 * do not die of SIGPIPE. From the first three it goes to CLOSING when something fails; from all it
 * may end at once.
 *
 * Handlers only change fields; settle(), called once after each event, is where an operation moves
 * on and where the loop is told what to wait for.
 */
#include "op.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"
#include "files.h"
#include "inbox.h"
#include "outbox.h"
#include "spawn.h"
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum op_state { OP_FREE, OP_SETUP, OP_RUNNING, OP_EXITED, OP_CLOSING, OP_DRAINING };

struct op {
    enum op_state state;
    uint32_t generation;
    bool lost;         /* the worker has closed the socket */
    bool stdin_over;   /* STDIN_EOF came */
    bool stdin_full;   /* the program does not read: the rest of the frame waits */
    size_t stdin_done; /* bytes of that frame already written */
    int cgroup;
    pid_t pid; /* 0 before it started and once it was reaped, when the number is another's */
    struct watch socket, stdin_pipe;
    struct watch output[2]; /* stdout, stderr */
    int64_t owed_bytes[2];  /* in the pipes when the program ended, and not read yet */
    mono_us started_at;
    mono_us grace_until; /* set while EXITED and others may still write */
    uint32_t drain_order;
    struct agent_exit exit;
    struct inbox inbox;
    struct outbox outbox;
    struct files files;
};

static struct op ops[OP_ACTIVE_MAX + OP_DRAINING_MAX];
static unsigned ops_used; /* slots above were never in use, nor their memory */
static uint32_t generations, drains, opened;

static struct watch_tag tag_of(const struct op *op, enum watch_source source)
{
    return (struct watch_tag){op->generation, (uint16_t)(op - ops), (uint16_t)source};
}

static void set_state(struct op *op, enum op_state state)
{
    static const unsigned from[] = {
        [OP_FREE] = 1 << OP_CLOSING | 1 << OP_DRAINING,
        [OP_SETUP] = 1 << OP_FREE,
        [OP_RUNNING] = 1 << OP_SETUP,
        [OP_EXITED] = 1 << OP_RUNNING,
        [OP_CLOSING] = 1 << OP_SETUP | 1 << OP_RUNNING | 1 << OP_EXITED,
        [OP_DRAINING] = 1 << OP_CLOSING,
    };
    if (!(from[state] >> op->state & 1))
        abort();
    op->state = state;
}

static void close_pipes(struct op *op)
{
    watch_close(&op->stdin_pipe);
    watch_close(&op->output[0]);
    watch_close(&op->output[1]);
}

static void close_stdin(struct op *op)
{
    watch_close(&op->stdin_pipe);
    op->stdin_full = false;
}

static void send_last(struct op *op, uint8_t type, const void *payload, size_t len)
{
    set_state(op, OP_CLOSING);
    op->grace_until = 0;
    if (outbox_send(&op->outbox, op->socket.fd, type, payload, len) != 0)
        op->lost = true;
}

static void kill_program(struct op *op)
{
    if (op->pid > 0)
        kill(-op->pid, SIGKILL);
    op->pid = 0;
}

static void fail(struct op *op, uint32_t stage, int sys_errno)
{
    const struct agent_failed failed = {.stage = stage, .sys_errno = (uint32_t)sys_errno};
    unsigned char payload[64];
    kill_program(op);
    close_pipes(op);
    files_finish(&op->files);
    send_last(op, FRAME_AGENT_FAILED, payload,
              agent_failed_encode(&failed, payload, sizeof(payload)));
}

/* Closes a socket such that the peer finds an end after our last frame, and not ECONNRESET for what
 * it sent and we did not read.
 */
static void say_farewell(int socket)
{
    char rest[4096];
    shutdown(socket, SHUT_RD);
    while (recv(socket, rest, sizeof(rest), MSG_DONTWAIT) > 0)
        ;
}

static void make_free(struct op *op)
{
    close_pipes(op);
    set_state(op, OP_FREE);
}

/* Keeps the number of draining operations below its bound. */
static void make_room_to_drain(void)
{
    struct op *oldest = NULL;
    unsigned count = 0;
    for (struct op *op = ops; op < ops + ops_used; op++) {
        if (op->state != OP_DRAINING)
            continue;
        count++;
        if (!oldest || op->drain_order - oldest->drain_order > UINT32_MAX / 2)
            oldest = op;
    }
    if (count >= OP_DRAINING_MAX)
        make_free(oldest);
}

/* The operation is over for the worker. */
static void release(struct op *op)
{
    say_farewell(op->socket.fd);
    watch_close(&op->socket);
    close_stdin(op);
    fd_close(&op->cgroup);
    inbox_finish(&op->inbox);
    outbox_finish(&op->outbox);
    if (op->output[0].fd < 0 && op->output[1].fd < 0) {
        make_free(op);
        return;
    }
    make_room_to_drain();
    set_state(op, OP_DRAINING);
    op->drain_order = drains++;
}

/* The worker has closed its end. A program that runs is killed; what one that is over has left
 * behind stays, as it does otherwise.
 */
static void abandon(struct op *op)
{
    if (op->pid > 0)
        close_pipes(op);
    kill_program(op);
    files_finish(&op->files);
    op->grace_until = 0;
    if (op->state != OP_CLOSING)
        set_state(op, OP_CLOSING);
    release(op);
}

static bool output_is_delivered(const struct op *op)
{
    for (int i = 0; i < 2; i++)
        if (op->output[i].fd >= 0 && (op->grace_until != 0 || op->owed_bytes[i] > 0))
            return false;
    return true;
}

static void send_exit(struct op *op)
{
    unsigned char payload[OUTBOX_SEND_MAX];
    files_finish(&op->files);
    send_last(op, FRAME_AGENT_EXIT, payload,
              agent_exit_encode(&op->exit, payload, sizeof(payload)));
}

/* Tell the loop what the operation waits for. */
static int set_watches(struct op *op)
{
    bool pending = outbox_pending(&op->outbox);
    uint32_t socket = EPOLLRDHUP; /* seen even while what was sent before it is not read */
    if (pending)
        socket |= EPOLLOUT;
    if (op->state != OP_CLOSING && !op->stdin_full)
        socket |= EPOLLIN;
    uint32_t output = pending && op->state != OP_DRAINING ? 0 : EPOLLIN;
    if (watch_set(&op->socket, tag_of(op, WATCH_OP_SOCKET), socket) != 0 ||
        watch_set(&op->stdin_pipe, tag_of(op, WATCH_OP_STDIN), op->stdin_full ? EPOLLOUT : 0) != 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (watch_set(&op->output[i], tag_of(op, WATCH_OP_STDOUT + i), output) != 0)
            return -1;
    return 0;
}

static void settle(struct op *op)
{
    if (op->state == OP_EXITED && !op->lost && output_is_delivered(op))
        send_exit(op);
    if (op->lost && op->state != OP_DRAINING)
        abandon(op);
    else if (op->state == OP_CLOSING && !outbox_pending(&op->outbox))
        release(op);
    if (op->state == OP_DRAINING && op->output[0].fd < 0 && op->output[1].fd < 0)
        make_free(op);
    if (op->state != OP_FREE && set_watches(op) != 0) {
        if (op->state == OP_DRAINING)
            make_free(op);
        else
            abandon(op);
    }
}

/* Read a pipe of the program once; false when there is no more at the moment. */
static bool relay(struct op *op, int i)
{
    struct watch *output = &op->output[i];
    ssize_t got = outbox_relay(&op->outbox, op->socket.fd, (uint8_t)(FRAME_STDOUT + i), output->fd);
    if (got > 0) {
        op->owed_bytes[i] -= got < op->owed_bytes[i] ? got : op->owed_bytes[i];
        return true;
    }
    if (got == 0)
        watch_close(output);
    else if (errno != EAGAIN)
        op->lost = true;
    return false;
}

static void output_event(struct op *op, int i, uint32_t events)
{
    /* Nobody can write any more: do not come back once for each piece and once for the end. */
    bool all = events & EPOLLHUP;
    while (op->output[i].fd >= 0 && !outbox_pending(&op->outbox) && relay(op, i) && all)
        ;
}

/* Write what is left of a STDIN frame; false when the program does not take it now. */
static bool write_stdin(struct op *op, const struct frame *frame)
{
    while (op->stdin_pipe.fd >= 0 && op->stdin_done < frame->len) {
        ssize_t written =
            write(op->stdin_pipe.fd, frame->payload + op->stdin_done, frame->len - op->stdin_done);
        if (written >= 0) {
            op->stdin_done += (size_t)written;
        } else if (errno == EAGAIN) {
            op->stdin_full = true;
            return false;
        } else if (errno != EINTR) {
            close_stdin(op); /* the program has closed it: it gets no more, which is no error */
        }
    }
    op->stdin_done = 0;
    return true;
}

static int make_pipe(int ends[2], int ours, uid_t uid)
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    /* The user's, or else the program could not open /dev/stderr. */
    if (uid != 0 && fchown(ends[0], uid, uid) != 0)
        return -1;
    return fd_set_nonblock(ends[ours], true);
}

static int make_pipes(int pipes[3][2], uid_t uid)
{
    for (int i = 0; i < 3; i++)
        if (make_pipe(pipes[i], i == 0 ? 1 : 0, uid) != 0)
            return -1;
    return 0;
}

static void close_six(int (*pipes)[3][2])
{
    for (int i = 0; i < 3; i++) {
        fd_close(&(*pipes)[i][0]);
        fd_close(&(*pipes)[i][1]);
    }
}

static void start(struct op *op, const struct agent_exec *exec)
{
    __attribute__((cleanup(close_six))) int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    if (make_pipes(pipes, user_of(exec->flags).id) != 0) {
        fail(op, AGENT_STAGE_PIPE, errno);
        return;
    }
    const int stdio[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
    struct agent_failed failed;
    op->started_at = clock_now(&clock_system);
    pid_t pid = spawn(exec, stdio, exec->flags & AGENT_EXEC_CGROUP ? op->cgroup : -1, &failed);
    if (pid < 0) {
        fail(op, failed.stage, (int)failed.sys_errno);
        return;
    }
    set_state(op, OP_RUNNING);
    op->pid = pid;
    op->stdin_pipe.fd = steal_fd(&pipes[0][1]);
    op->output[0].fd = steal_fd(&pipes[1][0]);
    op->output[1].fd = steal_fd(&pipes[2][0]);
    const struct agent_started started = {.pid = (uint32_t)pid};
    unsigned char payload[64];
    if (outbox_send(&op->outbox, op->socket.fd, FRAME_AGENT_STARTED, payload,
                    agent_started_encode(&started, payload, sizeof(payload))) != 0)
        op->lost = true;
}

static bool exec_frame(struct op *op, const struct frame *frame)
{
    struct agent_exec exec;
    if (op->state != OP_SETUP || !agent_exec_decode(frame->payload, frame->len, &exec))
        return false;
    if (exec.flags & AGENT_EXEC_CGROUP && op->cgroup < 0)
        return false;
    files_end(&op->files); /* a script that is open for writing cannot be executed */
    start(op, &exec);
    fd_close(&op->cgroup);
    return true;
}

static bool file_frame(struct op *op, const struct frame *frame)
{
    struct agent_file file;
    if (op->state != OP_SETUP || !agent_file_decode(frame->payload, frame->len, &file))
        return false;
    if (files_begin(&op->files, &file) != 0)
        fail(op, AGENT_STAGE_FILE, errno);
    return true;
}

static bool file_data_frame(struct op *op, const struct frame *frame)
{
    if (op->state != OP_SETUP || op->files.fd < 0)
        return false;
    if (files_write(&op->files, frame->payload, frame->len) != 0)
        fail(op, AGENT_STAGE_FILE, errno);
    return true;
}

static bool signal_frame(struct op *op, const struct frame *frame)
{
    struct agent_signal signal;
    if (op->state == OP_SETUP || !agent_signal_decode(frame->payload, frame->len, &signal))
        return false;
    if (op->pid > 0)
        kill(signal.group ? -op->pid : op->pid, (int)signal.signal);
    return true;
}

static bool stdin_frame(struct op *op, const struct frame *frame)
{
    if (op->state == OP_SETUP || op->stdin_over)
        return false;
    write_stdin(op, frame);
    return true;
}

static bool stdin_eof_frame(struct op *op)
{
    if (op->state == OP_SETUP || op->stdin_over)
        return false;
    op->stdin_over = true;
    close_stdin(op);
    return true;
}

/* False when the frame has no place here. */
static bool handle(struct op *op, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_AGENT_FILE:
        return file_frame(op, frame);
    case FRAME_FILE_DATA:
        return file_data_frame(op, frame);
    case FRAME_AGENT_EXEC:
        return exec_frame(op, frame);
    case FRAME_AGENT_SIGNAL:
        return signal_frame(op, frame);
    case FRAME_STDIN:
        return stdin_frame(op, frame);
    case FRAME_STDIN_EOF:
        return stdin_eof_frame(op);
    default:
        return false;
    }
}

static bool takes_frames(const struct op *op)
{
    return !op->lost && !op->stdin_full && op->state >= OP_SETUP && op->state <= OP_EXITED;
}

static void take_frames(struct op *op)
{
    while (takes_frames(op)) {
        struct frame frame;
        size_t used;
        enum frame_status status = inbox_peek(&op->inbox, &frame, &used);
        if (status == FRAME_MORE)
            break;
        if (status == FRAME_BAD || !handle(op, &frame))
            fail(op, AGENT_STAGE_PROTOCOL, 0);
        else if (!op->stdin_full)
            inbox_drop(&op->inbox, used);
    }
    if (inbox_keep(&op->inbox) != 0)
        op->lost = true;
}

static void receive(struct op *op)
{
    if (!takes_frames(op))
        return;
    ssize_t got = inbox_fill(&op->inbox, op->socket.fd);
    if (got > 0)
        take_frames(op);
    else if (got == 0 || errno != EAGAIN)
        op->lost = true;
}

static void socket_event(struct op *op, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        op->lost = true;
        return;
    }
    if (events & EPOLLOUT && outbox_flush(&op->outbox, op->socket.fd) != 0)
        op->lost = true;
    if (events & EPOLLIN)
        receive(op);
}

void op_event(struct watch_tag tag, uint32_t events)
{
    struct op *op = &ops[tag.slot];
    if (op->generation != tag.generation || op->state == OP_FREE)
        return;
    switch (tag.source) {
    case WATCH_OP_SOCKET:
        socket_event(op, events);
        break;
    case WATCH_OP_STDIN:
        op->stdin_full = false;
        take_frames(op);
        break;
    case WATCH_OP_STDOUT:
    case WATCH_OP_STDERR:
        output_event(op, tag.source - WATCH_OP_STDOUT, events);
        break;
    }
    settle(op);
}

/* A free slot, or NULL when as many operations as may be are going on. */
static struct op *find_slot(void)
{
    struct op *found = NULL;
    unsigned active = 0;
    for (struct op *op = ops; op < ops + ops_used; op++) {
        if (op->state == OP_FREE)
            found = op;
        else if (op->state != OP_DRAINING)
            active++;
    }
    if (active >= OP_ACTIVE_MAX)
        return NULL;
    return found ? found : &ops[ops_used++]; /* at most OP_DRAINING_MAX are neither */
}

static void refuse(int socket)
{
    const struct agent_failed failed = {.stage = AGENT_STAGE_LIMIT, .sys_errno = EAGAIN};
    struct outbox outbox = {0};
    unsigned char payload[64];
    outbox_send(&outbox, socket, FRAME_AGENT_FAILED, payload,
                agent_failed_encode(&failed, payload, sizeof(payload)));
    outbox_finish(&outbox);
    say_farewell(socket);
}

void op_open(int take_socket, int take_cgroup)
{
    cleanup_close int socket = take_socket, cgroup = take_cgroup;
    struct op *op = find_slot();
    opened++;
    if (!op) {
        refuse(socket);
        return;
    }
    *op = (struct op){
        .generation = ++generations,
        .cgroup = steal_fd(&cgroup),
        .socket.fd = steal_fd(&socket),
        .stdin_pipe.fd = -1,
        .output = {{.fd = -1}, {.fd = -1}},
    };
    files_init(&op->files);
    set_state(op, OP_SETUP);
    receive(op); /* the operation's first frames are mostly there already */
    settle(op);
}

static void note_exit(struct op *op, int status, const struct rusage *usage)
{
    mono_us now = clock_now(&clock_system);
    op->exit = (struct agent_exit){
        .exit = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0,
        .signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0,
        .user_us =
            (uint64_t)usage->ru_utime.tv_sec * US_PER_SEC + (uint64_t)usage->ru_utime.tv_usec,
        .system_us =
            (uint64_t)usage->ru_stime.tv_sec * US_PER_SEC + (uint64_t)usage->ru_stime.tv_usec,
        .max_rss_bytes = (uint64_t)usage->ru_maxrss * 1024,
        .wall_us = (uint64_t)(now - op->started_at),
    };
    op->grace_until = now + OP_GRACE_US;
}

/* What the program left in a pipe, and the pipe's end if that is all. */
static void collect(struct op *op, int i)
{
    int left = 0;
    if (op->output[i].fd < 0)
        return;
    if (ioctl(op->output[i].fd, FIONREAD, &left) == 0)
        op->owed_bytes[i] = left;
    bool again = true;
    while (again && op->output[i].fd >= 0 && !outbox_pending(&op->outbox)) {
        again = op->owed_bytes[i] > 0; /* one more read than there are bytes finds the end */
        again = relay(op, i) && again;
    }
}

void op_reaped(pid_t pid, int status, const struct rusage *usage)
{
    struct op *op = ops;
    while (op < ops + ops_used && (op->pid != pid || op->state != OP_RUNNING))
        op++;
    if (op == ops + ops_used)
        return;
    op->pid = 0;
    set_state(op, OP_EXITED);
    note_exit(op, status, usage);
    close_stdin(op);
    take_frames(op); /* input that waited is not wanted any more */
    for (int i = 0; i < 2; i++)
        collect(op, i);
    settle(op);
}

mono_us op_deadline(void)
{
    mono_us first = 0;
    for (const struct op *op = ops; op < ops + ops_used; op++)
        if (op->grace_until != 0 && (first == 0 || op->grace_until < first))
            first = op->grace_until;
    return first;
}

void op_expire(mono_us now)
{
    for (struct op *op = ops; op < ops + ops_used; op++) {
        if (op->grace_until == 0 || now < op->grace_until)
            continue;
        op->grace_until = 0;
        settle(op);
    }
}

uint32_t op_count(void)
{
    return opened;
}
