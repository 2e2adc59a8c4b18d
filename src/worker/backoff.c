#include "backoff.h"

void backoff_pause(struct backoff *backoff, mono_us now, mono_us most)
{
    if (now < backoff->until)
        return;
    mono_us pause = BACKOFF_FIRST_US;
    for (unsigned i = 0; i < backoff->pauses && pause < most; i++)
        pause *= 2;
    backoff->pauses++;
    backoff->until = now + (pause < most ? pause : most);
}
