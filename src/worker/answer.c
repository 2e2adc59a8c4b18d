#include "answer.h"

#include "../common/log.h"
#include "../common/mem.h"

#include <string.h>

char *answer_text(json_t *take_json)
{
    /* Times are whole microseconds: 15 digits say them all, 17 would say 1.9000000000000001. */
    char *text = json_dumps(take_json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(take_json);
    if (!text)
        mem_exhausted(); /* we packed it ourselves: it is valid */
    return text;
}

bool answer_send(struct chan *chan, enum frame_type type, json_t *take_json)
{
    cleanup_free char *text = answer_text(take_json);
    size_t len = strlen(text);
    if ((int64_t)len > frame_max_len((uint8_t)type)) {
        log_error("an answer does not fit into its frame", LOG_S("type", frame_name((uint8_t)type)),
                  LOG_D("bytes", (int64_t)len));
        return false;
    }
    chan_send(chan, type, text, len);
    return true;
}

void answer_result(struct chan *take_chan, json_t *take_result)
{
    answer_run(take_chan, take_result, CHAN_LINGER_MS);
}

void answer_run(struct chan *take_chan, json_t *take_result, uint64_t linger_ms)
{
    answer_send(take_chan, FRAME_RESULT, take_result);
    chan_linger(take_chan, linger_ms);
}

void answer_error(struct chan *take_chan, const struct err *err, const char *runner,
                  int64_t retry_after_ms)
{
    /* The message may hold bytes of a program's or a peer's making. */
    json_t *message = json_string(err->msg);
    if (!message)
        message = json_string("(the message is not valid UTF-8)");
    answer_send(take_chan, FRAME_LINK_ERROR,
                json_pack("{s:s, s:o, s:s?, s:I}", "name", err_name(err->code), "message", message,
                          "runner", runner, "retryAfterMs", (json_int_t)retry_after_ms));
    chan_destroy(take_chan, true);
}
