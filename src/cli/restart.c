#include "restart.h"

void restart_died(struct restart *restart, mono_us started, mono_us now)
{
    if (now - started >= RESTART_WELL_US)
        restart->deaths = 0;
    mono_us pause = 0;
    for (unsigned i = 0; i < restart->deaths && pause < RESTART_LONGEST_PAUSE_US; i++)
        pause = pause ? 2 * pause : RESTART_FIRST_PAUSE_US;
    if (pause > RESTART_LONGEST_PAUSE_US)
        pause = RESTART_LONGEST_PAUSE_US;
    restart->deaths++;
    restart->due = now + pause;
}

void restart_started(struct restart *restart)
{
    restart->due = 0;
}
