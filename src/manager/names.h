/* Which worker has a runner of a name: one table over all workers, whatever their number.
 *
 * A name belongs to one runner of the fleet; names_reserve sees to that for new ones. Two workers
 * can come with the same name all the same, e.g. when one was out of reach as the other's runner
 * was made. Then the name is the runner's that is kept; of two kept ones the older's; of two of the
 * same age that of the worker whose name comes first. Both are logged and listed, and the loser can
 * be reached once the winner is gone.
 */
#ifndef MANAGER_NAMES_H
#define MANAGER_NAMES_H

#include "../common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct worker;
struct runner_info;
struct names;

struct names *names_create(void);
void names_destroy(struct names *names); /* NULL is fine */

/* info, which is not copied, must stay until names_remove; its name must not change. */
void names_add(struct names *names, struct worker *worker, const struct runner_info *info);
void names_remove(struct names *names, const struct runner_info *info);

/* NULL when no worker has it. */
struct worker *names_find(const struct names *names, const char *name,
                          const struct runner_info **info);

size_t names_count(const struct names *names);

/* Keeps the name for a runner that is being made; ERR_NAME_TAKEN when there is one, or another is
 * being made. Each reserved name is released once.
 */
int names_reserve(struct names *names, const char *name, struct err *err);
void names_release(struct names *names, const char *name);

#endif
