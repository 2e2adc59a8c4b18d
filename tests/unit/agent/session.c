#include "session.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ROOM (4 * (FRAME_HEADER_LEN + FRAME_DATA_MAX))

void session_over(struct session *session, int take_fd)
{
    *session = (struct session){.fd = take_fd, .in = malloc(ROOM)};
    assert_non_null(session->in);
}

void session_begin(struct cell *cell, struct session *session)
{
    session_over(session, cell_open(cell, -1, AGENT_OUTPUT_ALL));
}

void session_end(struct session *session)
{
    fd_close(&session->fd);
    free(session->in);
    *session = (struct session){.fd = -1};
}

size_t session_try(struct session *session, const void *data, size_t len)
{
    ssize_t sent = send(session->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EPIPE)
        return len; /* the operation is over already, and what was sent of no interest */
    if (sent < 0 && errno != EAGAIN)
        fail_msg("send: %s", strerror(errno));
    return sent < 0 ? 0 : (size_t)sent;
}

void session_raw(struct session *session, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t sent = session_try(session, (const char *)data + done, len - done);
        struct pollfd ready = {.fd = session->fd, .events = POLLOUT};
        if (sent == 0 && poll(&ready, 1, CELL_DEADLINE_MS) != 1)
            fail_msg("the agent takes nothing");
        done += sent;
    }
}

void session_frame(struct session *session, enum frame_type type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    session_raw(session, header, sizeof(header));
    session_raw(session, payload, len);
}

void session_exec(struct session *session, const struct agent_exec *exec)
{
    unsigned char *payload = malloc(FRAME_CONTROL_MAX);
    size_t len = agent_exec_encode(exec, payload, FRAME_CONTROL_MAX);
    assert_true(len > 0);
    session_frame(session, FRAME_AGENT_EXEC, payload, len);
    free(payload);
}

void session_sh(struct session *session, uint32_t flags, const char *script)
{
    session_exec(session, &(struct agent_exec){.flags = flags,
                                               .cwd = "",
                                               .argc = 3,
                                               .argv = {"sh", "-c", script},
                                               .envc = 1,
                                               .env = {SESSION_PATH}});
}

void session_file(struct session *session, const struct agent_file *file, const char *text)
{
    unsigned char payload[8192];
    size_t len = agent_file_encode(file, payload, sizeof(payload));
    assert_true(len > 0);
    session_frame(session, FRAME_AGENT_FILE, payload, len);
    if (text)
        session_frame(session, FRAME_FILE_DATA, text, strlen(text));
}

void session_signal(struct session *session, uint32_t signal, bool group)
{
    unsigned char payload[64];
    const struct agent_signal msg = {.signal = signal, .group = group};
    session_frame(session, FRAME_AGENT_SIGNAL, payload,
                  agent_signal_encode(&msg, payload, sizeof(payload)));
}

bool session_next(struct session *session, struct frame *frame)
{
    for (;;) {
        size_t used;
        enum frame_status status =
            frame_parse(session->in + session->at, session->len - session->at, frame, &used);
        assert_int_not_equal(status, FRAME_BAD);
        if (status == FRAME_OK) {
            session->at += used;
            return true;
        }
        session->len -= session->at;
        memmove(session->in, session->in + session->at, session->len);
        session->at = 0;
        struct pollfd ready = {.fd = session->fd, .events = POLLIN};
        if (poll(&ready, 1, CELL_DEADLINE_MS) != 1)
            fail_msg("the agent says nothing");
        ssize_t got = recv(session->fd, session->in + session->len, ROOM - session->len, 0);
        if (got < 0)
            fail_msg("recv: %s", strerror(errno));
        if (got == 0) {
            assert_int_equal(session->len, 0); /* no half frame at the end */
            return false;
        }
        session->len += (size_t)got;
    }
}

uint32_t session_started(struct session *session)
{
    struct frame frame;
    struct agent_started started;
    assert_true(session_next(session, &frame));
    assert_string_equal(frame_name(frame.type), "AGENT_STARTED");
    assert_true(agent_started_decode(frame.payload, frame.len, &started));
    assert_true(started.pid > 1);
    return started.pid;
}

static void append(char **text, size_t *text_len, const struct frame *frame)
{
    assert_true(frame->len > 0);
    *text = realloc(*text, *text_len + frame->len + 1);
    assert_non_null(*text);
    memcpy(*text + *text_len, frame->payload, frame->len);
    *text_len += frame->len;
    (*text)[*text_len] = '\0';
}

/* Returns true at the frame that is the last. */
static bool note(struct outcome *outcome, const struct frame *frame)
{
    struct agent_started started;
    switch (frame->type) {
    case FRAME_AGENT_STARTED:
        assert_int_equal(outcome->pid, 0);
        assert_true(agent_started_decode(frame->payload, frame->len, &started));
        outcome->pid = started.pid;
        return false;
    case FRAME_STDOUT:
        append(&outcome->out, &outcome->out_len, frame);
        return false;
    case FRAME_STDERR:
        append(&outcome->err, &outcome->err_len, frame);
        return false;
    case FRAME_AGENT_EXIT:
        assert_true(outcome->pid > 0);
        assert_true(agent_exit_decode(frame->payload, frame->len, &outcome->exit));
        return true;
    case FRAME_AGENT_FAILED:
        outcome->failed = true;
        assert_true(agent_failed_decode(frame->payload, frame->len, &outcome->failure));
        return true;
    default:
        fail_msg("%s has no place here", frame_name(frame->type));
        return true;
    }
}

void session_finish(struct session *session, struct outcome *outcome)
{
    struct frame frame;
    *outcome = (struct outcome){.out = strdup(""), .err = strdup("")};
    do
        assert_true(session_next(session, &frame));
    while (!note(outcome, &frame));
    assert_false(session_next(session, &frame));
    session_end(session);
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
    *outcome = (struct outcome){0};
}

void session_run(struct cell *cell, uint32_t flags, const char *script, struct outcome *outcome)
{
    struct session session;
    session_begin(cell, &session);
    session_sh(&session, flags, script);
    session_frame(&session, FRAME_STDIN_EOF, NULL, 0);
    session_finish(&session, outcome);
}

void session_expect(struct cell *cell, uint32_t flags, const char *script, const char *out)
{
    struct outcome outcome;
    session_run(cell, flags, script, &outcome);
    if (outcome.failed)
        fail_msg("%s: cannot %s: %s", script, agent_stage_text(outcome.failure.stage),
                 strerror((int)outcome.failure.sys_errno));
    assert_string_equal(outcome.err, "");
    assert_string_equal(outcome.out, out);
    assert_int_equal(outcome.exit.signal, 0);
    assert_int_equal(outcome.exit.exit, 0);
    outcome_free(&outcome);
}

void session_expect_failure(struct session *session, enum agent_stage stage, int sys_errno)
{
    struct outcome outcome;
    session_finish(session, &outcome);
    assert_true(outcome.failed);
    assert_string_equal(agent_stage_text(outcome.failure.stage), agent_stage_text(stage));
    assert_string_equal(strerror((int)outcome.failure.sys_errno), strerror(sys_errno));
    outcome_free(&outcome);
}
