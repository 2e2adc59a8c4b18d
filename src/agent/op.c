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

#include "../common/fd.h"
#include "files.h"
#include "inbox.h"
#include "pipes.h"
#include "spawn.h"
#include "user.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum op_state { OP_FREE, OP_SETUP, OP_RUNNING, OP_EXITED, OP_CLOSING, OP_DRAINING };

struct op {
    enum op_state state;
    uint32_t generation;
    uint32_t id;     /* the worker's number of it */
    bool lost;       /* the worker has closed the socket */
    bool stdin_over; /* STDIN_EOF came */
    int cgroup;
    pid_t pid; /* 0 before it started and once it was reaped, when the number is another's */
    struct watch socket;
    struct pipes pipes;
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

static struct watch_tag tag_of(const struct op *op)
{
    return (struct watch_tag){.generation = op->generation, .slot = (uint16_t)(op - ops)};
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
    pipes_close(&op->pipes);
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
    pipes_close(&op->pipes);
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
    pipes_close_in(&op->pipes);
    fd_close(&op->cgroup);
    inbox_finish(&op->inbox);
    outbox_finish(&op->outbox);
    if (pipes_are_over(&op->pipes)) {
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
        pipes_close(&op->pipes);
    kill_program(op);
    files_finish(&op->files);
    op->grace_until = 0;
    if (op->state != OP_CLOSING)
        set_state(op, OP_CLOSING);
    release(op);
}

static bool output_is_delivered(const struct op *op)
{
    if (op->pipes.owed_bytes[0] > 0 || op->pipes.owed_bytes[1] > 0)
        return false;
    return op->grace_until == 0 || pipes_are_over(&op->pipes);
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
    if (op->state != OP_CLOSING && !op->pipes.in_full)
        socket |= EPOLLIN;
    struct watch_tag tag = tag_of(op);
    tag.source = WATCH_OP_SOCKET;
    if (watch_set(&op->socket, tag, socket) != 0)
        return -1;
    return pipes_watch(&op->pipes, tag, !pending);
}

static void settle(struct op *op)
{
    if (op->state == OP_EXITED && !op->lost && output_is_delivered(op))
        send_exit(op);
    if (op->lost && op->state != OP_DRAINING)
        abandon(op);
    else if (op->state == OP_CLOSING && !outbox_pending(&op->outbox))
        release(op);
    if (op->state == OP_DRAINING && pipes_are_over(&op->pipes))
        make_free(op);
    if (op->state == OP_FREE || set_watches(op) == 0)
        return;
    if (op->state != OP_DRAINING)
        abandon(op);
    if (op->state == OP_DRAINING)
        make_free(op);
}

/* Read a pipe of the program once; false when there is no more at the moment. */
static bool relay(struct op *op, int which)
{
    ssize_t got = pipes_relay(&op->pipes, which, &op->outbox, op->socket.fd);
    if (got < 0 && errno != EAGAIN)
        op->lost = true;
    return got > 0;
}

static bool can_relay(const struct op *op, int which)
{
    return op->pipes.out[which].fd >= 0 && !outbox_pending(&op->outbox) && !op->lost;
}

static void output_event(struct op *op, int which, uint32_t events)
{
    /* Nobody can write any more: do not come back once for each piece and once for the end. */
    bool all = events & EPOLLHUP;
    while (can_relay(op, which) && relay(op, which) && all)
        ;
}

/* What the program that has ended left in its pipes, and their end if that is all. */
static void collect(struct op *op)
{
    for (int which = 0; which < 2; which++) {
        bool again = true;
        while (again && can_relay(op, which)) {
            again =
                op->pipes.owed_bytes[which] > 0; /* the read after the last byte finds the end */
            again = relay(op, which) && again;
        }
    }
}

static void close_three(int (*fds)[3])
{
    for (int i = 0; i < 3; i++)
        fd_close(&(*fds)[i]);
}

static void start(struct op *op, const struct agent_exec *exec)
{
    __attribute__((cleanup(close_three))) int stdio[3];
    if (pipes_make(&op->pipes, user_of(exec->flags).id, stdio) != 0) {
        fail(op, AGENT_STAGE_PIPE, errno);
        return;
    }
    struct agent_failed failed;
    op->started_at = clock_now(&clock_system);
    op->pid = spawn(exec, stdio, exec->flags & AGENT_EXEC_CGROUP ? op->cgroup : -1, &failed);
    if (op->pid < 0) {
        fail(op, failed.stage, (int)failed.sys_errno);
        return;
    }
    set_state(op, OP_RUNNING);
    const struct agent_started started = {.pid = (uint32_t)op->pid};
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

static bool folder_frame(struct op *op, const struct frame *frame)
{
    struct agent_folder folder;
    if (op->state != OP_SETUP || !agent_folder_decode(frame->payload, frame->len, &folder))
        return false;
    if (files_make_folder(&op->files, &folder) != 0)
        fail(op, AGENT_STAGE_FILE, errno);
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

static void send_signal(const struct op *op, uint32_t signal, uint32_t group)
{
    if (op->pid > 0)
        kill(group ? -op->pid : op->pid, (int)signal);
}

static bool signal_frame(struct op *op, const struct frame *frame)
{
    struct agent_signal signal;
    if (op->state == OP_SETUP || !agent_signal_decode(frame->payload, frame->len, &signal))
        return false;
    send_signal(op, signal.signal, signal.group);
    return true;
}

static bool stdin_frame(struct op *op, const struct frame *frame)
{
    if (op->state == OP_SETUP || op->stdin_over)
        return false;
    pipes_feed(&op->pipes, frame->payload, frame->len);
    return true;
}

static bool stdin_eof_frame(struct op *op)
{
    if (op->state == OP_SETUP || op->stdin_over)
        return false;
    op->stdin_over = true;
    pipes_close_in(&op->pipes);
    return true;
}

/* False when the frame has no place here. */
static bool handle(struct op *op, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_AGENT_FOLDER:
        return folder_frame(op, frame);
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
    return !op->lost && !op->pipes.in_full && op->state >= OP_SETUP && op->state <= OP_EXITED;
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
        else if (!op->pipes.in_full)
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
    if (op->state == OP_EXITED)
        collect(op);
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
        op->pipes.in_full = false;
        take_frames(op);
        break;
    case WATCH_OP_STDOUT:
    case WATCH_OP_STDERR:
        output_event(op, tag.source == WATCH_OP_STDERR, events);
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

void op_open(const struct agent_open *open, int take_socket, int take_cgroup)
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
        .id = open->id,
        .cgroup = steal_fd(&cgroup),
        .socket.fd = steal_fd(&socket),
    };
    pipes_init(&op->pipes, open->output_bytes);
    files_init(&op->files);
    set_state(op, OP_SETUP);
    receive(op); /* the operation's first frames are mostly there already */
    settle(op);
}

void op_signal(const struct agent_op_signal *signal)
{
    for (const struct op *op = ops; op < ops + ops_used; op++)
        if (op->state == OP_RUNNING && op->id == signal->id)
            send_signal(op, signal->signal, signal->group);
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
    op->files.ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    op->grace_until = now + OP_GRACE_US;
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
    pipes_close_in(&op->pipes);
    take_frames(op); /* input that waited is not wanted any more */
    pipes_note_end(&op->pipes);
    collect(op);
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
        collect(op);
        settle(op);
    }
}

uint32_t op_count(void)
{
    return opened;
}
