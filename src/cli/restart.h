/* When a daemon that died is started again: at once the first time, then after a pause that grows
 * as long as it keeps dying, so that a broken one costs next to nothing.
 */
#ifndef CLI_RESTART_H
#define CLI_RESTART_H

#include "../common/clock.h"

#include <stdbool.h>

#define RESTART_FIRST_PAUSE_US (250 * US_PER_MS)
#define RESTART_LONGEST_PAUSE_US (30 * (mono_us)US_PER_SEC)

/* One that lived this long counts as well. */
#define RESTART_WELL_US (10 * (mono_us)US_PER_SEC)

struct restart {
    unsigned deaths; /* in a row, without having lived well in between */
    mono_us due;     /* when to start it; 0: it runs */
};

/* It died at `now`, having been started at `started`; sets due. */
void restart_died(struct restart *restart, mono_us started, mono_us now);

/* It was started. */
void restart_started(struct restart *restart);

#endif
