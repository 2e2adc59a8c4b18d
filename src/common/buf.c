#include "buf.h"

#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t cap)
{
    *buf = (struct buf){.cap = cap};
}

void buf_finish(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.cap = buf->cap};
}

static bool reserve(struct buf *buf, size_t more)
{
    if (more > buf->cap - buf->len)
        return false;
    size_t need = buf->len + more + 1; /* the NUL is not counted in the cap */
    if (need <= buf->room)
        return true;
    size_t room = buf->room ? buf->room : 64;
    while (room < need)
        room *= 2;
    if (room > buf->cap + 1)
        room = buf->cap + 1;
    buf->data = mem_realloc(buf->data, room);
    buf->room = room;
    return true;
}

bool buf_append(struct buf *buf, const void *data, size_t len)
{
    if (!reserve(buf, len))
        return false;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool buf_append_str(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

bool buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        mem_exhausted();
    bool fits = buf_append(buf, text, (size_t)len);
    free(text);
    return fits;
}

void buf_drop(struct buf *buf, size_t len)
{
    if (len == 0)
        return;
    buf->len -= len;
    memmove(buf->data, buf->data + len, buf->len + 1);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

char *buf_steal(struct buf *buf)
{
    char *data = buf->data ? buf->data : mem_strdup("");
    *buf = (struct buf){.cap = buf->cap};
    return data;
}
