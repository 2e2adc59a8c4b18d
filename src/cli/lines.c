#include "lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* One that never stops writing must not keep the caller from all else. */
#define READS_AT_ONCE 64

static void deliver(struct lines *lines, lines_cb on_line, void *data)
{
    lines->text[lines->len] = '\0';
    lines->len = 0;
    on_line(lines->text, data);
}

static void take(struct lines *lines, const char *bytes, size_t len, lines_cb on_line, void *data)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            if (!lines->cutting)
                deliver(lines, on_line, data);
            lines->cutting = false;
        } else if (!lines->cutting) {
            lines->text[lines->len++] = bytes[i] ? bytes[i] : '?';
            if (lines->len == LINES_MAX_BYTES) {
                deliver(lines, on_line, data);
                lines->cutting = true;
            }
        }
    }
}

bool lines_read(struct lines *lines, int fd, lines_cb on_line, void *data)
{
    for (int i = 0; i < READS_AT_ONCE; i++) {
        char bytes[4096];
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0) {
            if (lines->len > 0)
                deliver(lines, on_line, data);
            return false;
        }
        take(lines, bytes, (size_t)got, on_line, data);
    }
    return true;
}
