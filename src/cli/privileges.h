/* Becoming nobody in particular: what a program that root started gives up, and when. */
#ifndef CLI_PRIVILEGES_H
#define CLI_PRIVILEGES_H

#include "../common/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Who to become. */
struct privileges {
    bool root; /* we are root; else there is nothing to give up */
    uid_t uid;
    gid_t gid;
    char user[33];
};

/* Looks user and group up when we are root. Fails when they do not exist, or are root's. */
int privileges_find(struct privileges *privileges, const char *user, const char *group,
                    struct err *err);

/* Nothing that is started from here gains privileges: no_new_privs, an empty bounding set. To be
 * called before the first thread is made, because the kernel keeps both by thread.
 */
int privileges_seal(const struct privileges *privileges, struct err *err);

/* Becomes that user for good, in all threads, and checks that there is no way back. What a
 * supervisor asked to happen at its own death still happens.
 */
int privileges_drop(const struct privileges *privileges, struct err *err);

#endif
