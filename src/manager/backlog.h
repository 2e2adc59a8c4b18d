/* Standard input that a run's caller has sent and the worker's connection does not take yet. It is
 * there so that what the caller sends behind it, a signal or a close, is seen all the same.
 *
 * One may hold BACKLOG_MOST, all of the process together BACKLOG_ALL, and each BACKLOG_LEAST
 * whatever the others hold: past that its owner stops its caller.
 */
#ifndef MANAGER_BACKLOG_H
#define MANAGER_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>

#define BACKLOG_MOST ((size_t)16 * 1024 * 1024)
#define BACKLOG_ALL ((size_t)32 * 1024 * 1024)
#define BACKLOG_LEAST ((size_t)256 * 1024)

/* Start from zeroes. */
struct backlog {
    struct backlog_piece *first, *last;
    size_t held_bytes; /* of memory */
};

/* Copies it, whatever there is already. */
void backlog_add(struct backlog *backlog, const char *data, size_t len);

/* The bytes at the front, as many as lie in one place (FRAME_DATA_MAX at most); 0: it is empty. */
size_t backlog_front(const struct backlog *backlog, const char **data);

/* Be done with what backlog_front returned. */
void backlog_drop(struct backlog *backlog);

/* Whether its caller is to be stopped, and may go on again. */
bool backlog_is_full(const struct backlog *backlog);
bool backlog_has_room(const struct backlog *backlog);

void backlog_finish(struct backlog *backlog);

#endif
