/* One execution of a program, from the manager's RUN or EXEC to the result. */
#ifndef WORKER_RUN_H
#define WORKER_RUN_H

#include "../loop/chan.h"
#include "services.h"

/* All that are going on. Follows the roster, so that runs outlive their runner's record. */
struct runs;

struct runs *runs_create(struct services *services);

/* Takes the channel on which a manager's frame came; everything else follows from its frames. */
void run_begin(struct runs *runs, const char *manager, struct chan *take_link,
               const struct frame *frame);

/* Ends the run of that key, which has not begun; there may be none. */
void runs_withdraw(struct runs *runs, uint64_t key);

/* A signal for what the manager's run of that key runs; there may be none. */
void runs_signal(struct runs *runs, const char *manager, uint64_t key, int number);

/* Ends all of them, with an error that says that the worker is ending. */
void runs_end(struct runs *runs);

/* There must be none left. NULL is fine. */
void runs_destroy(struct runs *runs);

#endif
