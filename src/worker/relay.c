#include "relay.h"

#include "../common/mem.h"

#include <poll.h>

/* How it works. The caller's channel is paused until there is an agent, and again whenever the
 * agent's queue is long; a channel that is paused does not see its end, so a timer looks for that
 * meanwhile. A signal comes past the channel, and past the agent's queue. Each file is announced
 * when its turn comes, the program after the last file's last byte; only then may there be input.
 * While a stage without input goes on, the caller's waits in his channel.
 */
struct stream {
    int64_t sent;
    bool truncated;
};

struct relay {
    struct chan *link, *agent;
    const struct op_run *request;
    relay_over over;
    void *data;
    struct relay_stage stage;
    size_t file;             /* the next of request->files to announce */
    int64_t file_bytes_left; /* of the one before it */
    bool exec_sent, input_over, input_unwanted;
    bool started;       /* the agent has said so */
    uint64_t signals;   /* that wait to be sent: bit n - 1 for n, as the kernel keeps them */
    bool output_paused; /* the caller is slow */
    struct stream out, err_stream;
    size_t queued; /* on the link when relay_stalled was last asked */
    uv_timer_t probe;
};

static void end(struct relay *relay, const struct relay_end *end)
{
    relay->over(end, relay->data);
}

static void end_wrong(struct relay *relay, enum relay_outcome outcome, const char *who,
                      const struct frame *frame)
{
    struct relay_end wrong = {.outcome = outcome};
    err_set(&wrong.why, outcome == RELAY_CALLER_WRONG ? ERR_BAD_REQUEST : ERR_BAD_GATEWAY,
            "%s sent %s of %u bytes, which makes no sense there", who, frame_name(frame->type),
            frame->len);
    end(relay, &wrong);
}

/* ---- from the caller to the agent ---- */

static void on_probe(uv_timer_t *timer)
{
    struct relay *relay = timer->data;
    struct pollfd link = {.fd = chan_fd(relay->link), .events = POLLRDHUP};
    if (poll(&link, 1, 0) > 0)
        end(relay, &(struct relay_end){.outcome = RELAY_CALLER_GONE});
}

static void pause_input(struct relay *relay)
{
    chan_pause(relay->link);
    uv_timer_start(&relay->probe, on_probe, RELAY_PROBE_MS, RELAY_PROBE_MS);
}

/* Once the program is sent, its stage's input, if it has any. */
static bool wants_input(const struct relay *relay)
{
    return !relay->input_unwanted && (!relay->exec_sent || relay->stage.input);
}

static void resume_input(struct relay *relay)
{
    if (!wants_input(relay))
        return;
    uv_timer_stop(&relay->probe);
    chan_resume(relay->link);
}

void relay_close_input(struct relay *relay)
{
    relay->input_unwanted = true;
    pause_input(relay);
}

/* op_parse has seen to it that the messages fit. */
static void send_file(struct relay *relay, const struct op_file *file)
{
    unsigned char payload[8192];
    const struct agent_file message = {
        .flags = relay->request->exec.flags & AGENT_EXEC_ROOT,
        .mode = file->mode,
        .unlink_after = file->unlink_after,
        .folder = relay->request->exec.cwd,
        .name = file->name,
    };
    size_t len = agent_file_encode(&message, payload, sizeof(payload));
    if (len == 0)
        abort();
    chan_send(relay->agent, FRAME_AGENT_FILE, payload, len);
}

static void send_folder(struct relay *relay)
{
    unsigned char payload[8192];
    const struct agent_folder message = {
        .flags = relay->request->exec.flags & AGENT_EXEC_ROOT,
        .end = relay->stage.folder_goes_on ? AGENT_FOLDER_REMOVE_FAILED : AGENT_FOLDER_REMOVE,
        .folder = relay->request->exec.cwd,
        .name = relay->request->scratch,
    };
    size_t len = agent_folder_encode(&message, payload, sizeof(payload));
    if (len == 0)
        abort();
    chan_send(relay->agent, FRAME_AGENT_FOLDER, payload, len);
}

static void send_exec(struct relay *relay)
{
    static unsigned char payload[FRAME_CONTROL_MAX]; /* one loop, one thread */
    size_t len = agent_exec_encode(relay->stage.exec, payload, sizeof(payload));
    if (len == 0)
        abort();
    chan_send(relay->agent, FRAME_AGENT_EXEC, payload, len);
}

/* Announces the files whose turn it is; after the last one's last byte, the program. */
static void advance(struct relay *relay)
{
    size_t files = relay->stage.files ? relay->request->files_len : 0;
    while (relay->file_bytes_left == 0 && relay->file < files) {
        const struct op_file *file = &relay->request->files[relay->file++];
        send_file(relay, file);
        relay->file_bytes_left = file->bytes;
    }
    if (relay->file_bytes_left > 0 || relay->exec_sent)
        return;
    relay->exec_sent = true;
    send_exec(relay);
    if (relay->stage.input)
        return;
    chan_send(relay->agent, FRAME_STDIN_EOF, NULL, 0);
    pause_input(relay); /* what comes next is for another stage */
}

/* False when it has to wait. */
static bool send_signal(struct relay *relay, int number)
{
    unsigned char payload[64];
    if (relay->stage.signal && relay->stage.signal(number, relay->data))
        return true;
    if (chan_queued(relay->agent) > CHAN_HIGH)
        return false;
    const struct agent_signal signal = {.signal = (uint32_t)number, .group = 1};
    size_t len = agent_signal_encode(&signal, payload, sizeof(payload));
    chan_send(relay->agent, FRAME_AGENT_SIGNAL, payload, len);
    return true;
}

static void send_signals(struct relay *relay)
{
    uint64_t signals = relay->started ? relay->signals : 0;
    for (int number = 1; number <= AGENT_SIGNAL_MAX; number++) {
        uint64_t bit = (uint64_t)1 << (number - 1);
        if (signals & bit && send_signal(relay, number))
            relay->signals &= ~bit;
    }
}

void relay_signal(struct relay *relay, int number)
{
    relay->signals |= (uint64_t)1 << (number - 1);
    send_signals(relay);
}

/* False when the frame has no place here. */
static bool forward(struct relay *relay, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_FILE_DATA:
        if (relay->exec_sent || frame->len > relay->file_bytes_left)
            return false;
        relay->file_bytes_left -= frame->len;
        chan_send(relay->agent, FRAME_FILE_DATA, frame->payload, frame->len);
        advance(relay);
        return true;
    case FRAME_STDIN:
    case FRAME_STDIN_EOF:
        if (!relay->exec_sent || relay->input_over)
            return false;
        relay->input_over = frame->type == FRAME_STDIN_EOF;
        chan_send(relay->agent, frame->type, frame->payload, frame->len);
        return true;
    default:
        return false;
    }
}

static void on_link_frame(struct chan *chan, const struct frame *frame, void *data)
{
    struct relay *relay = data;
    (void)chan;
    if (!forward(relay, frame))
        end_wrong(relay, RELAY_CALLER_WRONG, "the caller", frame);
    else if (chan_queued(relay->agent) > CHAN_HIGH)
        pause_input(relay);
}

static void on_link_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)chan, (void)why;
    end(data, &(struct relay_end){.outcome = RELAY_CALLER_GONE});
}

static void on_link_drain(struct chan *chan, void *data)
{
    struct relay *relay = data;
    (void)chan;
    relay->output_paused = false;
    if (relay->agent)
        chan_resume(relay->agent);
}

static const struct chan_ops link_ops = {
    .on_frame = on_link_frame,
    .on_closed = on_link_closed,
    .on_drain = on_link_drain,
};

/* ---- from the agent to the caller ---- */

static void on_output(struct relay *relay, const struct frame *frame, struct stream *stream)
{
    int64_t room = relay->stage.output_bytes - stream->sent;
    int64_t len = frame->len;
    if (len > room) {
        stream->truncated = true;
        len = room;
    }
    if (len <= 0)
        return;
    stream->sent += len;
    if (relay->stage.sink)
        relay->stage.sink(frame->type, frame->payload, (size_t)len, relay->data);
    else
        chan_send(relay->link, frame->type, frame->payload, (size_t)len);
    if (chan_queued(relay->link) > CHAN_HIGH) {
        relay->output_paused = true;
        chan_pause(relay->agent);
    }
}

/* False when the frame makes no sense here. */
static bool handle_agent_frame(struct relay *relay, const struct frame *frame)
{
    struct relay_end over = {.outcome = RELAY_EXITED};
    struct agent_started started;
    switch (frame->type) {
    case FRAME_AGENT_STARTED:
        if (relay->started || !agent_started_decode(frame->payload, frame->len, &started))
            return false;
        relay->started = true;
        send_signals(relay);
        return true;
    case FRAME_STDOUT:
    case FRAME_STDERR:
        if (!relay->started || frame->len == 0)
            return false;
        on_output(relay, frame, frame->type == FRAME_STDOUT ? &relay->out : &relay->err_stream);
        return true;
    case FRAME_AGENT_EXIT:
        if (!relay->started || !agent_exit_decode(frame->payload, frame->len, &over.exit))
            return false;
        end(relay, &over);
        return true;
    case FRAME_AGENT_FAILED:
        over.outcome = RELAY_FAILED;
        if (!agent_failed_decode(frame->payload, frame->len, &over.failed))
            return false;
        end(relay, &over);
        return true;
    default:
        return false;
    }
}

static void on_agent_frame(struct chan *chan, const struct frame *frame, void *data)
{
    (void)chan;
    if (!handle_agent_frame(data, frame))
        end_wrong(data, RELAY_AGENT_WRONG, "the runner's agent", frame);
}

static void on_agent_closed(struct chan *chan, const struct err *why, void *data)
{
    (void)chan;
    end(data, &(struct relay_end){.outcome = RELAY_AGENT_GONE, .why = *why});
}

static void on_agent_drain(struct chan *chan, void *data)
{
    (void)chan;
    send_signals(data);
    resume_input(data);
}

static const struct chan_ops agent_ops = {
    .on_frame = on_agent_frame,
    .on_closed = on_agent_closed,
    .on_drain = on_agent_drain,
};

/* ---- its life ---- */

struct relay *relay_create(uv_loop_t *loop, struct chan *take_link, const struct op_run *request,
                           relay_over over, void *data)
{
    struct relay *relay = mem_new(struct relay);
    relay->link = take_link;
    relay->request = request;
    relay->over = over;
    relay->data = data;
    uv_timer_init(loop, &relay->probe);
    relay->probe.data = relay;
    chan_set_ops(take_link, &link_ops, relay);
    pause_input(relay);
    return relay;
}

int relay_open(struct relay *relay, int take_fd, const struct relay_stage *stage, struct err *err)
{
    chan_destroy(relay->agent, false);
    relay->agent = chan_create(relay->probe.loop, take_fd, &agent_ops, relay, err);
    if (!relay->agent)
        return -1;
    relay->stage = *stage;
    if (relay->started)
        relay->signals = 0; /* what still waits is for the program of the stage before */
    relay->exec_sent = relay->started = false;
    relay->out = relay->err_stream = (struct stream){0};
    if (stage->folder)
        send_folder(relay);
    advance(relay);
    resume_input(relay);
    return 0;
}

bool relay_truncated(const struct relay *relay, enum frame_type stream)
{
    return relay->output_paused ||
           (stream == FRAME_STDOUT ? &relay->out : &relay->err_stream)->truncated;
}

bool relay_waits(const struct relay *relay)
{
    return relay->output_paused;
}

bool relay_stalled(struct relay *relay)
{
    size_t before = relay->queued;
    relay->queued = chan_queued(relay->link);
    return relay->output_paused && relay->queued == before;
}

struct chan *relay_link(struct relay *relay)
{
    return relay->link;
}

struct chan *relay_take_link(struct relay *relay)
{
    return steal_ptr(relay->link);
}

static void on_probe_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void relay_destroy(struct relay *relay)
{
    if (!relay)
        return;
    chan_destroy(relay->agent, false);
    chan_destroy(relay->link, false);
    uv_close((uv_handle_t *)&relay->probe, on_probe_closed);
}
