/* The lines that a host's scripts print (host/check.sh, prepare.sh, start.sh), read with bounds:
 * the host may be anybody's.
 */
#ifndef MANAGER_PROVISION_LINE_H
#define MANAGER_PROVISION_LINE_H

#include "provision.h"

#define PROVISION_MISSING_MAX 600
#define PROVISION_SUM_LEN 64

/* What the scripts have told. */
struct provision_facts {
    bool root, sudo;
    char missing[PROVISION_MISSING_MAX + 1]; /* packages' names, blanks between them */
    char failed[200];                        /* why a script gave up; "" */
};

/* Takes a line into provision and facts, without secrets; sum is called for each file. Others are
 * ignored.
 */
void provision_line(struct provision *provision, struct provision_facts *facts, const char *line,
                    void (*sum)(const char *file, const char *hash, void *data), void *data);

/* The first check that is bad, or NULL. fixable: that an installation does not mend. */
const struct provision_check *provision_obstacle(const struct provision *provision, bool fixable);

#endif
