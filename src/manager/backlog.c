#include "backlog.h"

#include "../common/frame.h"
#include "../common/mem.h"

#include <stdlib.h>
#include <string.h>

/* Small messages share a piece, so that memory is bounded by bytes and not by messages. */
struct backlog_piece {
    struct backlog_piece *next;
    size_t len;
    char data[FRAME_DATA_MAX];
};

static size_t all_held_bytes; /* one loop, one thread */

static struct backlog_piece *add_piece(struct backlog *backlog)
{
    /* mem_new would clear, and so touch, all of it. */
    struct backlog_piece *piece = mem_realloc(NULL, sizeof(*piece));
    piece->next = NULL;
    piece->len = 0;
    *(backlog->last ? &backlog->last->next : &backlog->first) = piece;
    backlog->last = piece;
    backlog->held_bytes += sizeof(*piece);
    all_held_bytes += sizeof(*piece);
    return piece;
}

void backlog_add(struct backlog *backlog, const char *data, size_t len)
{
    while (len > 0) {
        struct backlog_piece *piece = backlog->last;
        if (!piece || piece->len == sizeof(piece->data))
            piece = add_piece(backlog);
        size_t room = sizeof(piece->data) - piece->len;
        size_t part = len < room ? len : room;
        memcpy(piece->data + piece->len, data, part);
        piece->len += part;
        data += part;
        len -= part;
    }
}

size_t backlog_front(const struct backlog *backlog, const char **data)
{
    if (!backlog->first)
        return 0;
    *data = backlog->first->data;
    return backlog->first->len;
}

void backlog_drop(struct backlog *backlog)
{
    struct backlog_piece *piece = backlog->first;
    backlog->first = piece->next;
    if (!backlog->first)
        backlog->last = NULL;
    backlog->held_bytes -= sizeof(*piece);
    all_held_bytes -= sizeof(*piece);
    free(piece);
}

bool backlog_is_full(const struct backlog *backlog)
{
    return backlog->held_bytes > BACKLOG_LEAST &&
           (backlog->held_bytes > BACKLOG_MOST || all_held_bytes > BACKLOG_ALL);
}

/* Less than what fills it, so that a caller is not stopped and started for each piece. */
bool backlog_has_room(const struct backlog *backlog)
{
    return backlog->held_bytes <= BACKLOG_LEAST / 2 ||
           (backlog->held_bytes <= BACKLOG_MOST / 2 && all_held_bytes <= BACKLOG_ALL / 2);
}

void backlog_finish(struct backlog *backlog)
{
    while (backlog->first)
        backlog_drop(backlog);
}
