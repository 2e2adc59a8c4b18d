/* The folder of all templates: one writer at a time, a new tree put in its place by one rename, and
 * what is left over removed.
 */
#ifndef CLI_TEMPLATE_PLACE_H
#define CLI_TEMPLATE_PLACE_H

#include "../common/err.h"

#include <stdbool.h>

/* Of a template's folder: a user of the host whose id is that of a runner's files must not reach
 * them.
 */
#define TEMPLATE_PLACE_MODE 0700

/* STATE_DIR/templates, made when it is not there, locked against other writers; closing the
 * descriptor unlocks it. -1 with ERR_NOT_AVAILABLE while another holds it.
 */
int template_place_lock(const char *state_dir, struct err *err);

/* These four want the lock. */

/* Removes NAME.new, NAME.old, NAME.old2 and so on, but for what runners live on. */
void template_place_sweep(const char *state_dir);

/* Makes tree, a whole template beside target, target; all of it is on the disk first. What target
 * was stays as NAME.old (or NAME.old2...) until a sweep after the last runner that lives on it.
 * templates is the descriptor of the lock.
 */
int template_place_put(const char *tree, const char *target, int templates, struct err *err);

/* Moves a tree out of the way, to target.old or a later number. */
int template_place_away(const char *tree, const char *target, struct err *err);

/* Whether a tree of it is still there, since runners live on it. */
bool template_place_has_left_over(const char *state_dir, const char *name);

#endif
