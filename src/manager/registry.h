/* The runners of one worker as its WATCH told them, by name: what GET /runner answers from, and
 * who owns what.
 */
#ifndef MANAGER_REGISTRY_H
#define MANAGER_REGISTRY_H

#include "../common/err.h"
#include "../common/ids.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNNER_OWNER_LEN 64
#define RUNNER_WORD_LEN 15
#define RUNNER_HISTORY_MAX 8

/* A plain value. */
struct runner_info {
    char name[NAME_MAX_LEN + 1];
    char template_name[NAME_MAX_LEN + 1];
    char state[RUNNER_WORD_LEN + 1];       /* "cooking", "available", "inUse", "freeing" */
    char last_status[RUNNER_WORD_LEN + 1]; /* of its last run; "" before the first */
    char owner[RUNNER_OWNER_LEN + 1];      /* "" when nobody keeps it */
    bool kept;
    int64_t pid, memory_bytes, runs;
    int64_t since_ms, started_ms; /* wall time */
    struct {
        char state[RUNNER_WORD_LEN + 1];
        int64_t time_ms;
    } history[RUNNER_HISTORY_MAX]; /* oldest first */
    unsigned history_len;
    bool doubtful; /* believed until the worker's next word: see registry_drop_doubtful */
};

struct names;
struct worker;
struct registry; /* in the order of the names */

struct registry *registry_create(void);
void registry_destroy(struct registry *registry); /* NULL is fine */

/* From now on its runners, and those it has, are in names as worker's. names outlives it. */
void registry_join(struct registry *registry, struct names *names, struct worker *worker);

/* Adds the runner or replaces the one of that name; info is copied. */
void registry_put(struct registry *registry, const struct runner_info *info);
void registry_remove(struct registry *registry, const char *name);

/* What was heard of its runners may be out of date: all are doubtful from here. One that is put
 * again is not, unless its info says so; those that still are can be dropped when all has been
 * told.
 */
void registry_doubt(struct registry *registry);
void registry_drop_doubtful(struct registry *registry);

/* NULL when there is none. Valid until the registry changes. */
const struct runner_info *registry_find(const struct registry *registry, const char *name);

size_t registry_count(const struct registry *registry);
const struct runner_info *registry_at(const struct registry *registry, size_t index);

/* Counted as they come and go, so that asking costs nothing. */
struct registry_counts {
    size_t available, in_use, kept;
};
const struct registry_counts *registry_get_counts(const struct registry *registry);

/* Runners of that template that are available. */
size_t registry_available(const struct registry *registry, const char *template_name);

/* A record as the protocol has it. The oldest of a history that is too long are left out. */
int registry_parse(const json_t *record, struct runner_info *info, struct err *err);

#endif
