#include "fake_agent.h"

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PERIOD 26
#define PATTERN_BYTES (FRAME_DATA_MAX + PERIOD)

/* At one pump, so that a peer that reads as fast as it can does not hold up the others. */
#define PUMP_MOST (4 * 1024 * 1024)

enum phase {
    PHASE_WAITING, /* for AGENT_EXEC */
    PHASE_RUNNING,
    PHASE_ENDING, /* output first, then the last frame */
    PHASE_OVER,   /* the last frame is in head */
};

struct stream {
    enum frame_type type;
    uint64_t at, end;
};

struct fake_agent {
    int fd;
    enum phase phase;
    bool peer_gone;
    fake_agent_exec on_exec;
    void *data;
    struct fake_script script;
    struct buf in;

    /* The frame that is being written: its head (with a small payload), then pattern bytes. */
    unsigned char head[FRAME_HEADER_LEN + 64];
    size_t head_len, head_sent;
    const char *body;
    size_t body_len;
    struct stream streams[2];
};

/* Long enough for a whole frame that begins at any letter. */
static const char *pattern(void)
{
    static char bytes[PATTERN_BYTES];
    if (bytes[0] == '\0')
        for (size_t i = 0; i < PATTERN_BYTES; i++)
            bytes[i] = (char)('a' + i % PERIOD);
    return bytes;
}

struct fake_agent *fake_agent_create(int take_fd, fake_agent_exec on_exec, void *data)
{
    struct fake_agent *agent = mem_new(struct fake_agent);
    agent->fd = take_fd;
    agent->on_exec = on_exec;
    agent->data = data;
    buf_init(&agent->in, FRAME_HEADER_LEN + FRAME_CONTROL_MAX + FRAME_DATA_MAX);
    fd_set_nonblock(take_fd, true);
    return agent;
}

void fake_agent_destroy(struct fake_agent *agent)
{
    if (!agent)
        return;
    fd_close(&agent->fd);
    buf_finish(&agent->in);
    free(agent);
}

/* What it says. */

static void put_control(struct fake_agent *agent, enum frame_type type, size_t payload_len)
{
    frame_put_header(agent->head, (uint8_t)type, 0, (uint32_t)payload_len);
    agent->head_len = FRAME_HEADER_LEN + payload_len;
    agent->head_sent = 0;
    agent->body_len = 0;
}

static void put_last(struct fake_agent *agent)
{
    unsigned char *payload = agent->head + FRAME_HEADER_LEN;
    size_t room = sizeof(agent->head) - FRAME_HEADER_LEN;
    if (agent->script.ending == FAKE_FAILS)
        put_control(agent, FRAME_AGENT_FAILED,
                    agent_failed_encode(&agent->script.failed, payload, room));
    else
        put_control(agent, FRAME_AGENT_EXIT, agent_exit_encode(&agent->script.exit, payload, room));
    agent->phase = PHASE_OVER;
}

/* Puts the next frame in place; false when there is none for now. */
static bool next_frame(struct fake_agent *agent)
{
    if (agent->phase == PHASE_WAITING || agent->phase == PHASE_OVER)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(agent->streams); i++) {
        struct stream *stream = &agent->streams[i];
        uint64_t left = stream->end - stream->at;
        if (left == 0)
            continue;
        size_t len = left < FRAME_DATA_MAX ? (size_t)left : FRAME_DATA_MAX;
        put_control(agent, stream->type, 0);
        frame_put_header(agent->head, (uint8_t)stream->type, 0, (uint32_t)len);
        agent->body = pattern() + stream->at % PERIOD;
        agent->body_len = len;
        stream->at += len;
        return true;
    }
    if (agent->phase != PHASE_ENDING)
        return false;
    put_last(agent);
    return true;
}

/* Writes one piece of the present frame; how many bytes, 0 when the socket takes no more. */
static size_t write_some(struct fake_agent *agent)
{
    struct iovec parts[2] = {
        {agent->head + agent->head_sent, agent->head_len - agent->head_sent},
        {(char *)agent->body, agent->body_len},
    };
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = agent->body_len > 0 ? 2 : 1};
    ssize_t sent = sendmsg(agent->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent <= 0) {
        agent->peer_gone = agent->peer_gone || (errno != EAGAIN && errno != EINTR);
        return 0;
    }
    size_t of_head = parts[0].iov_len < (size_t)sent ? parts[0].iov_len : (size_t)sent;
    agent->head_sent += of_head;
    if (agent->body_len > 0) {
        agent->body += (size_t)sent - of_head;
        agent->body_len -= (size_t)sent - of_head;
    }
    return (size_t)sent;
}

static bool frame_pending(const struct fake_agent *agent)
{
    return agent->head_sent < agent->head_len || agent->body_len > 0;
}

static void write_out(struct fake_agent *agent)
{
    size_t written = 0;
    while (!agent->peer_gone && written < PUMP_MOST) {
        if (!frame_pending(agent) && !next_frame(agent))
            return;
        size_t sent = write_some(agent);
        if (sent == 0)
            return;
        written += sent;
    }
}

/* What it hears. */

/* As crunner does with what makes no sense. */
static void fail_protocol(struct fake_agent *agent)
{
    agent->script =
        (struct fake_script){.ending = FAKE_FAILS, .failed = {.stage = AGENT_STAGE_PROTOCOL}};
    agent->streams[0].end = agent->streams[0].at;
    agent->streams[1].end = agent->streams[1].at;
    agent->phase = PHASE_ENDING;
}

void fake_agent_signal(struct fake_agent *agent, uint32_t number)
{
    if (agent->phase != PHASE_RUNNING && agent->phase != PHASE_ENDING)
        return;
    if (agent->script.ending != FAKE_FAILS) {
        agent->script.ending = FAKE_EXITS;
        agent->script.exit = (struct agent_exit){.signal = number};
    }
    for (size_t i = 0; i < ARRAY_LEN(agent->streams); i++)
        agent->streams[i].end = agent->streams[i].at;
    agent->phase = PHASE_ENDING;
}

static void start(struct fake_agent *agent, const struct frame *frame)
{
    struct agent_exec exec;
    if (!agent_exec_decode(frame->payload, frame->len, &exec)) {
        fail_protocol(agent);
        return;
    }
    agent->on_exec(&exec, &agent->script, agent->data);
    agent->phase = PHASE_RUNNING;
    if (agent->script.ending == FAKE_FAILS)
        return;
    agent->streams[0] = (struct stream){FRAME_STDOUT, 0, agent->script.stdout_bytes};
    agent->streams[1] = (struct stream){FRAME_STDERR, 0, agent->script.stderr_bytes};
    if (agent->script.exit.wall_us == 0)
        agent->script.exit.wall_us = (uint64_t)agent->script.run_us;
    struct agent_started started = {.pid = 2};
    put_control(agent, FRAME_AGENT_STARTED,
                agent_started_encode(&started, agent->head + FRAME_HEADER_LEN,
                                     sizeof(agent->head) - FRAME_HEADER_LEN));
}

static void on_frame(struct fake_agent *agent, const struct frame *frame)
{
    struct agent_file file;
    struct agent_signal sig;
    bool running = agent->phase != PHASE_WAITING;
    switch (frame->type) {
    case FRAME_AGENT_FILE:
        if (running || !agent_file_decode(frame->payload, frame->len, &file))
            fail_protocol(agent);
        return;
    case FRAME_FILE_DATA:
        if (running)
            fail_protocol(agent);
        return;
    case FRAME_AGENT_EXEC:
        if (running)
            fail_protocol(agent);
        else
            start(agent, frame);
        return;
    case FRAME_STDIN:
    case FRAME_STDIN_EOF:
        if (!running)
            fail_protocol(agent);
        return;
    case FRAME_AGENT_SIGNAL:
        if (!running || !agent_signal_decode(frame->payload, frame->len, &sig))
            fail_protocol(agent);
        else
            fake_agent_signal(agent, sig.signal);
        return;
    default:
        fail_protocol(agent);
    }
}

static void parse(struct fake_agent *agent)
{
    size_t at = 0, used = 0;
    struct frame frame;
    enum frame_status status = FRAME_MORE;
    while (agent->phase < PHASE_ENDING &&
           (status = frame_parse(agent->in.data + at, agent->in.len - at, &frame, &used)) ==
               FRAME_OK) {
        on_frame(agent, &frame);
        at += used;
    }
    if (agent->phase < PHASE_ENDING && status == FRAME_BAD)
        fail_protocol(agent);
    buf_drop(&agent->in, agent->phase < PHASE_ENDING ? at : agent->in.len);
    /* Thousands of these wait at a time: an idle one keeps no memory. */
    if (agent->in.len == 0) {
        size_t cap = agent->in.cap;
        buf_finish(&agent->in);
        buf_init(&agent->in, cap);
    }
}

static void read_in(struct fake_agent *agent)
{
    static char chunk[FRAME_DATA_MAX];
    for (size_t total = 0; total < PUMP_MOST;) {
        ssize_t got = recv(agent->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            agent->peer_gone = got == 0 || errno != EAGAIN;
            return;
        }
        total += (size_t)got;
        if (agent->phase >= PHASE_ENDING)
            continue; /* nobody listens any more */
        if (!buf_append(&agent->in, chunk, (size_t)got))
            abort(); /* parse() leaves less than a frame */
        parse(agent);
    }
}

enum fake_agent_status fake_agent_pump(struct fake_agent *agent)
{
    if (!agent->peer_gone)
        read_in(agent);
    write_out(agent);
    if (agent->peer_gone || (agent->phase == PHASE_OVER && !frame_pending(agent)))
        return FAKE_AGENT_OVER;
    return frame_pending(agent) ? FAKE_AGENT_WRITES : FAKE_AGENT_READS;
}

void fake_agent_end(struct fake_agent *agent)
{
    if (agent->phase == PHASE_RUNNING)
        agent->phase = PHASE_ENDING;
}

void fake_agent_kill(struct fake_agent *agent)
{
    fake_agent_signal(agent, SIGKILL);
}

const struct fake_script *fake_agent_script(const struct fake_agent *agent)
{
    return agent->phase == PHASE_WAITING ? NULL : &agent->script;
}

int fake_agent_fd(const struct fake_agent *agent)
{
    return agent->fd;
}
