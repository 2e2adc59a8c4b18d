#include "answer.h"

#include "../src/common/err.h"
#include "../src/common/frame.h"
#include "../src/common/json.h"
#include "../src/common/mem.h"
#include "../src/common/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool holds(const char *text, size_t len, const char *wanted)
{
    return !wanted || memmem(text, len, wanted, strlen(wanted)) != NULL;
}

/* The value of a header line, as a number; -1 when it is not there. */
static long long header_number(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; line && line < end; line = strstr(line, "\r\n")) {
        line += line == head ? 0 : 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return strtoll(line + len + 1, NULL, 10);
    }
    return -1;
}

static int find_http(const struct buf *received, const char *expected, struct answer *answer)
{
    const char *head = received->data;
    const char *end = received->len ? memmem(head, received->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    if (sscanf(head, "HTTP/1.1 %d ", &answer->status) != 1)
        return -1;
    long long len = header_number(head, end, "Content-Length");
    if (len < 0)
        return -1;
    answer->body = end + 4;
    answer->body_len = (size_t)len;
    answer->used = (size_t)(answer->body - head) + answer->body_len;
    if (received->len < answer->used)
        return 0;
    answer->as_expected = holds(answer->body, answer->body_len, expected);
    return 1;
}

static int error_status(const struct frame *frame)
{
    const char *name = "";
    cleanup_json json_t *error = json_parse_object(frame->payload, frame->len, true, NULL);
    if (!error || json_get_string(error, "name", true, &name, NULL, NULL) != 0)
        return 500;
    return err_http_status(err_from_name(name));
}

static int find_frames(const struct buf *received, const char *expected, struct answer *answer)
{
    struct frame frame;
    size_t used;
    enum frame_status status;
    *answer = (struct answer){.as_expected = !expected};
    while ((status = frame_parse(received->data + answer->used, received->len - answer->used,
                                 &frame, &used)) == FRAME_OK) {
        answer->used += used;
        answer->body = frame.payload;
        answer->body_len = frame.len;
        if (frame.type == FRAME_STDOUT && holds(frame.payload, frame.len, expected))
            answer->as_expected = true;
        if (frame.type != FRAME_RESULT && frame.type != FRAME_LINK_ERROR)
            continue;
        answer->status = frame.type == FRAME_RESULT ? 200 : error_status(&frame);
        return 1;
    }
    return status == FRAME_BAD ? -1 : 0;
}

int answer_find(enum answer_protocol protocol, const struct buf *received, const char *expected,
                struct answer *answer)
{
    if (received->len == 0)
        return 0;
    return protocol == ANSWER_HTTP ? find_http(received, expected, answer)
                                   : find_frames(received, expected, answer);
}

bool answer_number(const struct answer *answer, const char *name, double *number)
{
    char key[64];
    if (!str_format(key, sizeof(key), "\"%s\":", name))
        return false;
    const char *found = memmem(answer->body, answer->body_len, key, strlen(key));
    return found && sscanf(found + strlen(key), "%lf", number) == 1;
}
