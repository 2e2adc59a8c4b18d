/* The bytes of one execution, between its caller's channel and its agent's:
 *
 *     caller ──link──▶ relay ──agent──▶ program      FILE_DATA, STDIN, STDIN_EOF
 *     caller ◀──link── relay ◀──agent── program      STDOUT, STDERR, then the end
 *
 * It holds no more of them than a channel's queue: a side that is slow stops the other. What the
 * end means is its owner's business (run.c).
 */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include "../common/agent_wire.h"
#include "../loop/chan.h"
#include "op_parse.h"

struct relay;

enum relay_outcome {
    RELAY_EXITED,       /* exit */
    RELAY_FAILED,       /* failed: the program could not be started */
    RELAY_AGENT_GONE,   /* its connection ended before either; why, unless that was a plain end */
    RELAY_AGENT_WRONG,  /* it sent what makes no sense; why */
    RELAY_CALLER_GONE,  /* also while bytes of its wait to be read; within RELAY_PROBE_MS then */
    RELAY_CALLER_WRONG, /* it sent what does not belong there; why */
};

#define RELAY_PROBE_MS 20

struct relay_end {
    enum relay_outcome outcome;
    struct agent_exit exit;
    struct agent_failed failed;
    struct err why; /* ERR_NONE where there is nothing to say */
};

/* Fires once at most for each relay_open, from the loop. Inside it the relay must be destroyed, or
 * opened again when a stage has EXITED.
 */
typedef void (*relay_over)(const struct relay_end *end, void *data);

/* A run is up to three operations of the agent, one after the other. */
struct relay_stage {
    const struct agent_exec *exec; /* must outlive the stage */
    bool files;                    /* the request's files come first */
    bool folder;                   /* the request's folder is made, or used again */
    bool folder_goes_on;           /* another stage uses it, if this one's program exits with 0 */
    bool input;                    /* the caller's input is the program's; else it has none */
    int64_t output_bytes;          /* passed on of each stream */

    /* Sends the program a signal ahead of its input; false when that cannot be. May be NULL. */
    bool (*signal)(int number, void *signal_data);

    /* Gets what the program prints, in place of the caller; NULL: the caller does. */
    void (*sink)(enum frame_type stream, const void *data, size_t len, void *sink_data);
};

/* Takes the caller's channel and reads nothing from it until relay_open. request must outlive the
 * relay.
 */
struct relay *relay_create(uv_loop_t *loop, struct chan *take_link, const struct op_run *request,
                           relay_over over, void *data);

/* Takes the worker's end of the operation's socket (and closes the one before): sends the files'
 * heads and the program, and lets the bytes flow. -1 with err on failure.
 */
int relay_open(struct relay *relay, int take_fd, const struct relay_stage *stage, struct err *err);

/* A signal for what the stage runs, as a terminal's keys send it: before its input, wherever that
 * waits; or behind it, if the runner's agent knows nothing better. One that comes before the
 * program is there waits for it, and none outlives it.
 */
void relay_signal(struct relay *relay, int number);

/* No more of the caller's bytes are wanted. */
void relay_close_input(struct relay *relay);

/* Whether some of the stage's output was dropped, or has not been read yet. */
bool relay_truncated(const struct relay *relay, enum frame_type stream);

/* Whether output waits for the caller, and whether he has taken none of it since relay_stalled was
 * last asked.
 */
bool relay_waits(const struct relay *relay);
bool relay_stalled(struct relay *relay);

/* The caller's channel: borrowed, and taken for the answer; afterwards only relay_destroy. */
struct chan *relay_link(struct relay *relay);
struct chan *relay_take_link(struct relay *relay);

/* Closes the agent's channel, and the caller's unless it was taken. NULL is fine. */
void relay_destroy(struct relay *relay);

#endif
