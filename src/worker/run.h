/* One execution of a program, from the manager's RUN or EXEC to the result. */
#ifndef WORKER_RUN_H
#define WORKER_RUN_H

#include "../loop/chan.h"
#include "services.h"

/* Follows the roster, so that runs outlive their runner's record. Once, before the first run. */
void run_follow(struct services *services);

/* Takes the channel on which the frame came; everything else follows from its frames. */
void run_begin(struct services *services, struct chan *take_link, const struct frame *frame);

#endif
