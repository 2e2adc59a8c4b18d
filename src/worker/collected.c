#include "collected.h"

#include "../common/agent_wire.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/path.h"

#include <string.h>

typedef void (*send_fn)(enum frame_type type, const void *payload, size_t len, void *data);

/* More than the longest of its frames, and than one piece that comes at a time. */
#define IN_MAX (2 * (FRAME_HEADER_LEN + FRAME_DATA_MAX))

static const char *const kinds[AGENT_FOUND_KINDS] = {
    [AGENT_FOUND_FILE] = "",           [AGENT_FOUND_TOO_LARGE] = "tooLarge",
    [AGENT_FOUND_FOLDER] = "folder",   [AGENT_FOUND_LINK] = "link",
    [AGENT_FOUND_SPECIAL] = "special", [AGENT_FOUND_UNREADABLE] = "unreadable",
};

void collected_init(struct collected *collected, int64_t bytes, int64_t files)
{
    *collected = (struct collected){.bytes_left = bytes, .files_left = files, .cut = true};
    buf_init(&collected->in, IN_MAX);
}

void collected_finish(struct collected *collected)
{
    buf_finish(&collected->in);
}

static bool take_found(struct collected *self, const struct frame *frame, send_fn send, void *data)
{
    struct agent_found found;
    if (!agent_found_decode(frame->payload, frame->len, &found) || self->files_left == 0 ||
        !path_is_inside(found.path, strlen(found.path)))
        return false;
    self->files_left--;
    self->in_file = found.kind == AGENT_FOUND_FILE;
    cleanup_json json_t *json =
        json_pack("{s:s, s:I, s:i, s:s*}", "path", found.path, "size", (json_int_t)found.size_bytes,
                  "mode", (int)found.mode, "error", self->in_file ? NULL : kinds[found.kind]);
    cleanup_free char *text = json_dumps(json, JSON_COMPACT);
    if (!text)
        mem_exhausted();
    send(FRAME_FOUND, text, strlen(text), data);
    return true;
}

static bool take_data(struct collected *self, const struct frame *frame, send_fn send, void *data)
{
    if (!self->in_file || frame->len > self->bytes_left)
        return false;
    self->bytes_left -= frame->len;
    if (frame->len > 0)
        send(FRAME_FILE_DATA, frame->payload, frame->len, data);
    return true;
}

static bool take_end(struct collected *self, const struct frame *frame)
{
    struct agent_collected end;
    if (!agent_collected_decode(frame->payload, frame->len, &end))
        return false;
    self->cut = end.cut;
    self->over = true;
    return true;
}

/* False when it makes no sense. */
static bool take(struct collected *self, const struct frame *frame, send_fn send, void *data)
{
    switch (frame->type) {
    case FRAME_AGENT_FOUND:
        return take_found(self, frame, send, data);
    case FRAME_FILE_DATA:
        return take_data(self, frame, send, data);
    case FRAME_AGENT_COLLECTED:
        return take_end(self, frame);
    default:
        return false;
    }
}

void collected_feed(struct collected *self, const void *bytes, size_t len, send_fn send, void *data)
{
    struct frame frame;
    size_t at = 0, used;
    if (!self->over && !buf_append(&self->in, bytes, len))
        self->over = true;
    while (!self->over) {
        enum frame_status status =
            frame_parse(self->in.data + at, self->in.len - at, &frame, &used);
        if (status == FRAME_MORE)
            break;
        if (status == FRAME_BAD || !take(self, &frame, send, data))
            self->over = true;
        at += used;
    }
    if (self->over)
        buf_clear(&self->in);
    else
        buf_drop(&self->in, at);
}
