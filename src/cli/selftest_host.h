/* The hosts around a self-test: at rest before it, looked at, and compared after it. */
#ifndef CLI_SELFTEST_HOST_H
#define CLI_SELFTEST_HOST_H

#include "abuse_host.h"

#define SELFTEST_HOSTS_MAX 64

struct selftest_hosts {
    struct api api;
    json_t *names; /* of the workers */
    json_t *before[SELFTEST_HOSTS_MAX];
    size_t count;
    char why_not[ABUSE_WHY_MAX]; /* "" or why nothing can be compared */
};

/* Waits until those workers (worker; NULL: all that are linked) are at rest, for a minute at most,
 * and looks at them. Fails when the API cannot be asked at all, or knows no such worker.
 */
int selftest_hosts_begin(struct selftest_hosts *hosts, const struct config *config,
                         const char *worker, struct err *err);

/* Waits until each is as it was, for a minute and a half at most, and tells what came of it:
 * ABUSE_HOST_ITEMS times for each worker.
 */
void selftest_hosts_end(struct selftest_hosts *hosts,
                        void (*tell)(const char *worker, const struct abuse_host_finding *finding,
                                     void *data),
                        void *data);

void selftest_hosts_finish(struct selftest_hosts *hosts);

#endif
