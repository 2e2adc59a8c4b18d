/* The journal: what a worker must know about a container that an earlier worker made. One small
 * file per runner in RUN_DIR/runners, on a tmpfs: like the containers it does not outlive a boot,
 * so nothing is synced. Only what may be adopted has an entry: warm runners that never ran
 * anything, and kept ones. A throw-away runner loses its entry before its program starts, so that
 * no later worker can hand it out again.
 */
#ifndef WORKER_JOURNAL_H
#define WORKER_JOURNAL_H

#include "runner.h"

struct journal;

/* Opens (or makes) run_dir/runners and follows the roster from now on. */
struct journal *journal_create(const char *run_dir, struct roster *roster, struct err *err);

/* Follows the roster no longer; the entries stay. NULL is fine. */
void journal_destroy(struct journal *journal);

/* Write a runner's entry anew: call after runner_keep. On failure (a full disk) no later worker
 * will know of the runner.
 */
int journal_update(struct journal *journal, const struct runner *runner, struct err *err);

/* Hands every entry to roster_adopt and removes those that make no sense. Returns how many were
 * adopted. A runner with a network is not, unless that may be. -1 with err when the journal could
 * not be read: it has not been found out what exists, and nothing may be taken for a zombie.
 */
int journal_adopt(struct journal *journal, const struct engine_spec *spec, bool may_network,
                  struct err *err);

#endif
