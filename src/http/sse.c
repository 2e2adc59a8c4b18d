#include "sse.h"

#include "../common/base64.h"
#include "json_writer.h"

#include <stdio.h>
#include <string.h>

static const char tail[] = "\"\n\n";

/* As many whole groups of three as fit, and the rest when it is all there is. */
static size_t put_base64(const char *data, size_t len, char *out, size_t room, size_t *used)
{
    size_t most = room / 4 * 3;
    *used = len < most ? len : most;
    return base64_encode(data, *used, out);
}

size_t sse_output(const char *name, bool base64, const char *data, size_t len, bool last, char *out,
                  size_t room, size_t *used)
{
    *used = 0;
    size_t head = (size_t)snprintf(out, room, "event: %s\ndata: \"", name);
    if (len == 0 || head + sizeof(tail) + 8 > room)
        return 0;
    char *at = out + head;
    size_t left = room - head - (sizeof(tail) - 1);
    size_t written = base64 ? put_base64(data, len, at, left, used)
                            : json_escape(data, len, last, at, left, used);
    if (written == 0)
        return 0;
    memcpy(at + written, tail, sizeof(tail) - 1);
    return head + written + sizeof(tail) - 1;
}
