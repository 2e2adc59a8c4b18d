/* The worker's end of one operation. */
#ifndef TEST_AGENT_SESSION_H
#define TEST_AGENT_SESSION_H

#include "cell.h"

struct session {
    int fd;
    unsigned char *in; /* received and not yet taken */
    size_t at, len;
};

/* What came of an operation, read to its end. */
struct outcome {
    uint32_t pid;    /* 0: it never started */
    char *out, *err; /* NUL-terminated */
    size_t out_len, err_len;
    bool failed; /* and failure says why; else exit */
    struct agent_failed failure;
    struct agent_exit exit;
};

#define SESSION_PATH "PATH=/usr/local/bin:/usr/bin:/bin"

void session_begin(struct cell *cell, struct session *session);
void session_over(struct session *session, int take_fd); /* on a socket that the agent has */
void session_end(struct session *session);               /* closes it */

/* Send; all of it, or the test fails. */
void session_raw(struct session *session, const void *data, size_t len);
void session_frame(struct session *session, enum frame_type type, const void *payload, size_t len);
void session_exec(struct session *session, const struct agent_exec *exec);
void session_sh(struct session *session, uint32_t flags, const char *script);
void session_file(struct session *session, const struct agent_file *file, const char *text);
void session_signal(struct session *session, uint32_t signal, bool group);

/* Send what the socket takes without waiting; how much. */
size_t session_try(struct session *session, const void *data, size_t len);

/* The next frame, valid until the next call; false when the agent has closed the socket. */
bool session_next(struct session *session, struct frame *frame);

/* The next frame must be AGENT_STARTED; the pid. */
uint32_t session_started(struct session *session);

/* Reads to the end, checks the order of frames, and closes the session. */
void session_finish(struct session *session, struct outcome *outcome);
void outcome_free(struct outcome *outcome);

/* A whole operation: `sh -c script` without input. */
void session_run(struct cell *cell, uint32_t flags, const char *script, struct outcome *outcome);

/* The same; what it printed must be this, and its exit 0. */
void session_expect(struct cell *cell, uint32_t flags, const char *script, const char *out);

/* Reads to the end; it must have failed like this. */
void session_expect_failure(struct session *session, enum agent_stage stage, int sys_errno);

#endif
