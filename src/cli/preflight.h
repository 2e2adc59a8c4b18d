/* What `up` looks at before it starts anything, so that a first start fails with one clear sentence
 * instead of two daemons that die in turn.
 */
#ifndef CLI_PREFLIGHT_H
#define CLI_PREFLIGHT_H

#include "../common/config.h"

/* Root, the user and group of the manager, no second `up` with the same run_dir, folders that can
 * be written, a free port. Makes the folders. Returns a descriptor that holds RUN_DIR/up.lock, or
 * -1.
 */
int preflight_begin(const struct config *config, struct err *err);

/* Removes what is ours in RUN_DIR, and RUN_DIR when nothing else is in it. Closes the lock. */
void preflight_end(const struct config *config, int take_lock);

#endif
