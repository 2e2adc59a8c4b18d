/* An archive of a template, read: template_entry.h says what it looks like. What may come from
 * anybody is checked here, and handed on entry by entry; nothing here writes.
 */
#ifndef COMMON_TEMPLATE_UNPACK_H
#define COMMON_TEMPLATE_UNPACK_H

#include "template_entry.h"
#include "template_manifest.h"

#include <sys/types.h>

struct archive_entry;

/* Where it goes; each returns 0, or -1 with err, which ends the reading. */
struct template_unpack_sink {
    /* Once, first: whether there is room for it. */
    int (*manifest)(const struct template_manifest *manifest, void *data, struct err *err);
    /* Each entry has passed template_entry_check and is in the bounds of the manifest. Whether its
     * folder is there and its name is free is the sink's to know.
     */
    int (*entry)(struct archive_entry *entry, void *data, struct err *err);
    /* The next bytes of the last entry. */
    int (*bytes)(const void *bytes, size_t len, void *data, struct err *err);
};

struct template_unpacked {
    struct template_manifest manifest;
    int64_t entries, bytes; /* so far; those of the manifest in the end */
    char sum[TEMPLATE_SUM_HEX + 1];
};

/* Gives the next piece of the archive, which stays valid until the next call: its length, 0 at the
 * end, -1 with errno.
 */
typedef ssize_t (*template_unpack_read)(void *data, const void **piece);

/* Reads all of it; data is the sink's and the reader's. Bytes may be left behind its end. Fails
 * with ERR_BAD_REQUEST on what is damaged, cut off, no such archive, against a rule of
 * template_entry.h or more than its manifest tells; with ERR_NOT_AVAILABLE as
 * template_manifest_parse does.
 */
int template_unpack(template_unpack_read read, const struct template_unpack_sink *sink, void *data,
                    struct template_unpacked *unpacked, struct err *err);

#endif
