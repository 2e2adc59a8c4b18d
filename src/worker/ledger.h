/* Which runs have begun, and which never may: what a manager asks when its connection was lost
 * before it was told. It is a file of RUN_DIR that is mapped, so noting a run costs two stores to
 * memory, and the next worker of this boot knows it too.
 */
#ifndef WORKER_LEDGER_H
#define WORKER_LEDGER_H

#include "../common/clock.h"
#include "../common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_NAME "ledger"

/* Runs that are remembered: the last so many that began. */
#define LEDGER_STARTED 32768

/* Runs that are remembered as withdrawn, each for LEDGER_WITHDRAWN_US at least: longer than any
 * network keeps a message.
 */
#define LEDGER_WITHDRAWN 4096
#define LEDGER_WITHDRAWN_US ((mono_us)3600 * US_PER_SEC)

struct ledger;

/* Opens run_dir/ledger, or begins a new one when there is none of this boot. When the folder is
 * full the ledger is in memory alone, and there is no file.
 */
struct ledger *ledger_open(const char *run_dir, const struct clock *clock, struct err *err);
void ledger_close(struct ledger *ledger); /* the file stays; NULL is fine */

/* The run begins: to be called before it has any effect. False when it was withdrawn; then it must
 * not. key: not 0.
 */
bool ledger_start(struct ledger *ledger, uint64_t key);

/* From now on the run will not begin, unless it has. covered_us: for how long everything that began
 * is remembered; a run that was asked for earlier than that may have begun all the same. 0 when the
 * run could not be withdrawn.
 */
struct ledger_word {
    bool started;
    mono_us covered_us;
};
struct ledger_word ledger_withdraw(struct ledger *ledger, uint64_t key);

#endif
