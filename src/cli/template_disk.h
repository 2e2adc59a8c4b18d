/* Where an unpacked template goes: the root of a confined process. */
#ifndef CLI_TEMPLATE_DISK_H
#define CLI_TEMPLATE_DISK_H

#include "../common/template_unpack.h"

struct template_disk;

/* Into the folder root, which must be empty: a descriptor that stays the caller's and that is the
 * working folder, too. What is written has the owners, modes, times and attributes of the archive.
 */
struct template_disk *template_disk_create(int root);
void template_disk_destroy(struct template_disk *disk); /* NULL is fine */

/* Its data is the template_disk. An entry fails whose folder has not come before it, or is reached
 * by a link; one that has come before; and what the disk has no room for (ERR_NO_SPACE).
 */
extern const struct template_unpack_sink template_disk_sink;

/* Ends the last entry, and gives the folders their times. */
int template_disk_end(struct template_disk *disk, struct err *err);

#endif
