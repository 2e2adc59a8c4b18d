/* The last frame of an operation on the link: its result, or its failure. */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include "../common/err.h"
#include "../loop/chan.h"

#include <jansson.h>

/* Each sends the frame and destroys the channel once it is sent. runner may be NULL; result is
 * stolen.
 */
void answer_result(struct chan *take_chan, json_t *take_result);

/* The same for a run: its caller may still be busy with output that came before, linger_ms long. */
void answer_run(struct chan *take_chan, json_t *take_result, uint64_t linger_ms);
void answer_error(struct chan *take_chan, const struct err *err, const char *runner,
                  int64_t retry_after_ms);

/* A control frame's text; json is stolen, the caller frees the text. */
char *answer_text(json_t *take_json);

/* Sends a JSON control frame; json is stolen. False when it does not fit into its frame. */
bool answer_send(struct chan *chan, enum frame_type type, json_t *take_json);

#endif
