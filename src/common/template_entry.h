/* The entries of an archive of a template: which ones there may be, and the sum over all of them.
 *
 * An archive is a tar of the pax format, packed by zstd. It begins with the manifest; then come
 * template.json and the tree `rootfs`, a folder before what is in it; it ends with the sum. The sum
 * is a SHA-256 over the manifest and what each entry says and holds. It tells what was damaged on
 * the way from what was not; a forger can make another.
 */
#ifndef COMMON_TEMPLATE_ENTRY_H
#define COMMON_TEMPLATE_ENTRY_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_ENTRY_MANIFEST "codeland-archive.json"
#define TEMPLATE_ENTRY_SUM "codeland-archive.sha256"
#define TEMPLATE_ENTRY_ABOUT "template.json"
#define TEMPLATE_ENTRY_ROOT "rootfs"

#define TEMPLATE_ABOUT_BYTES_MAX (1024 * 1024)
#define TEMPLATE_DEPTH_MAX 64 /* components of a path */
#define TEMPLATE_LINK_MAX 4095
#define TEMPLATE_OWNER_MAX 65535 /* a runner has no more ids */
#define TEMPLATE_XATTRS_MAX 32
#define TEMPLATE_XATTR_BYTES_MAX 65536

struct archive_entry;

/* 0 when a template may have it: template.json, or in rootfs a file, a folder, a link or a further
 * name of a file, without rights that it would have on the host (set-user-id and set-group-id
 * files, capabilities) and without attributes other than user's. Else -1 with ERR_BAD_REQUEST that
 * names it and, where there is one, the bound.
 */
int template_entry_check(struct archive_entry *entry, struct err *err);

/* Its path without the slash that folders have at the end: len bytes. */
const char *template_entry_path(struct archive_entry *entry, size_t *len);

#define TEMPLATE_SUM_HEX 64

struct template_sum;
struct template_sum *template_sum_create(void);
void template_sum_destroy(struct template_sum *sum); /* NULL is fine */

/* The manifest's text, or a part of a file. */
void template_sum_data(struct template_sum *sum, const void *data, size_t len);

/* What a checked entry says of itself; its data come after it. */
void template_sum_entry(struct template_sum *sum, struct archive_entry *entry);

/* Ends it: hex digits and a NUL. */
void template_sum_end(struct template_sum *sum, char hex[TEMPLATE_SUM_HEX + 1]);

#endif
