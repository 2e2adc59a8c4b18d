/* An archive of a template, written: template_entry.h says what it looks like. */
#ifndef COMMON_TEMPLATE_PACK_H
#define COMMON_TEMPLATE_PACK_H

#include "template_entry.h"
#include "template_manifest.h"

#include <stdbool.h>

struct template_packed {
    struct template_manifest manifest;
    int64_t left_out; /* devices, sockets and pipes: no runner can use them */
    char sum[TEMPLATE_SUM_HEX + 1];
};

/* How far it is, at least once for each file; false ends it. path is what it is at; done and total
 * are bytes, total 0 while they are still being counted.
 */
typedef bool (*template_pack_tick)(const char *path, int64_t done, int64_t total, void *data);

/* Writes STATE_DIR/templates/NAME to a blocking descriptor, which stays the caller's. Set-user-id
 * bits and attributes that a template must not have are left out. Takes root: the files are of many
 * owners. The template may be replaced or removed meanwhile; what is written is the one that was
 * there. ERR_TIMED_OUT when the tick has ended it, ERR_NO_SPACE for a full disk; a part may be
 * written then.
 */
int template_pack(const char *state_dir, const char *name, int fd, template_pack_tick tick,
                  void *data, struct template_packed *packed, struct err *err);

#endif
