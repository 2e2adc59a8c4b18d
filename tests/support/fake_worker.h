/* A worker made of nothing: it listens at a unix socket, speaks the link's protocol and answers as
 * the test's script says. It lives on the test's own loop.
 */
#ifndef SUPPORT_FAKE_WORKER_H
#define SUPPORT_FAKE_WORKER_H

#include "../../src/common/buf.h"
#include "../../src/common/ids.h"
#include "../../src/loop/chan.h"

#include <jansson.h>

struct fake_worker;
struct fake_op;

/* What a script may look at; all of it has come when the script is called. */
struct fake_request {
    enum frame_type type; /* RUN, EXEC, DESTROY, ZOMBIES, OVEN, STEER, and SIGNAL behind that */
    json_t *message;
    struct buf code, input;
};

/* Called for every operation but WATCH, and again for each SIGNAL behind a STEER. It answers with
 * the functions below, at once or later; the operation lives until it is answered, dropped, or
 * abandoned by the manager.
 */
typedef void (*fake_script)(struct fake_op *op, const struct fake_request *request, void *data);

/* Counts of what came. */
struct fake_seen {
    unsigned connections, runs, execs, destroys, zombies, watches, ovens, withdrawals, steers;
    unsigned abandoned; /* operations whose connection the manager closed before their end */
    unsigned open;      /* operations that are going on */
};

/* Listens at path. Until there is a script every program "runs" by printing its own text. */
struct fake_worker *fake_worker_create(uv_loop_t *loop, const char *path);

/* As SIGKILL would: every connection is cut, nobody listens. */
void fake_worker_destroy(struct fake_worker *fake);

void fake_worker_script(struct fake_worker *fake, fake_script script, void *data);
const struct fake_seen *fake_worker_seen(const struct fake_worker *fake);

/* What hellos say from now on, in place of {"protocol": 3, ...}; NULL: nothing is said. */
void fake_worker_hello(struct fake_worker *fake, enum frame_type type, const char *text);

/* How far back it remembers, as it answers to WITHDRAW by itself; at first an hour. */
void fake_worker_covers(struct fake_worker *fake, int64_t covered_ms);

/* The figures of the next SNAPSHOTs; sent at once. */
void fake_worker_oven(struct fake_worker *fake, unsigned available, unsigned in_use,
                      const char *status, const char *message);

/* The "templates" of the next SNAPSHOTs; sent at once. Without one none are told. */
void fake_worker_templates(struct fake_worker *fake, json_t *take_templates);

/* Tells the watchers of a runner; owner NULL: nobody's. state NULL: it is gone. */
void fake_worker_runner(struct fake_worker *fake, const char *name, const char *state,
                        const char *owner);

/* Sends any payload to the watchers. */
void fake_worker_tell(struct fake_worker *fake, enum frame_type type, const char *text);

/* From now on who watches is cut off after the first SNAPSHOT. */
void fake_worker_break_off(struct fake_worker *fake, bool breaks_off);

/* Cuts the watchers off. */
void fake_worker_cut_watch(struct fake_worker *fake);

/* Answers. started names a fresh runner "cr-00000001" and so on, or repeats EXEC's. */
void fake_op_started(struct fake_op *op);
void fake_op_output(struct fake_op *op, bool is_err, const void *data, size_t len);
void fake_op_result(struct fake_op *op, const char *status, int code);           /* of a run */
void fake_op_answer(struct fake_op *op, enum frame_type type, const char *text); /* its last */
void fake_op_error(struct fake_op *op, const char *name, const char *message, int retry_after_ms);
void fake_op_send(struct fake_op *op, enum frame_type type, const void *data, size_t len);
void fake_op_drop(struct fake_op *op);  /* closes without an answer */
void fake_op_pause(struct fake_op *op); /* reads nothing, not even that the manager closed */
void fake_op_resume(struct fake_op *op);

#endif
