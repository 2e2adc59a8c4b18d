/* What managers see of this worker: snapshots every second, changes of runners within
 * WATCH_DELAY_MS, for every connection that asked to WATCH.
 */
#ifndef WORKER_WATCH_H
#define WORKER_WATCH_H

#include "../loop/chan.h"
#include "services.h"

#include <jansson.h>

#define WATCH_DELAY_MS 20
#define WATCH_SNAPSHOT_MS 1000

struct watch;

/* description: the "worker" member of snapshots; stolen. */
struct watch *watch_create(const struct services *services, json_t *take_description);

/* Closes the watchers' channels; the memory goes with the loop's next turns. NULL is fine. */
void watch_destroy(struct watch *watch);

/* A manager that wants to see its runners and those that are nobody's; the channel is the watch's
 * until it ends.
 */
void watch_add(struct watch *watch, const char *manager, struct chan *take_chan);

/* Something of a runner changed that is not its state. */
void watch_touch(struct watch *watch, const struct runner *runner);

/* A runner has another name now; the earlier one is gone for those who see the runner. */
void watch_renamed(struct watch *watch, const struct runner *runner, const char *earlier);

/* A runner that every manager saw is one manager's now: for the others it is gone. */
void watch_given(struct watch *watch, const struct runner *runner);

/* Send what has changed now, so that an answer sent afterwards is not ahead of it. */
void watch_flush(struct watch *watch);

#endif
