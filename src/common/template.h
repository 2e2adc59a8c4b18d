/* Templates on disk: STATE_DIR/templates/NAME/ holds `rootfs`, the root file system that runners
 * are made from, and `template.json`, which says what it is.
 */
#ifndef COMMON_TEMPLATE_H
#define COMMON_TEMPLATE_H

#include "err.h"
#include "ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised when a template of an earlier program cannot serve any more and must be built again. */
#define TEMPLATE_FORMAT 1

#define TEMPLATE_TEXT_MAX 200

struct template_info {
    char name[NAME_MAX_LEN + 1];
    char description[TEMPLATE_TEXT_MAX + 1];
    char from[TEMPLATE_TEXT_MAX + 1]; /* e.g. "Debian bookworm amd64" */
    char made[TEMPLATE_TEXT_MAX + 1]; /* e.g. "2026-01-31T12:00:00Z" */
    int64_t size_bytes;               /* on disk */
    size_t packages;
};

/* Writes STATE_DIR/templates/NAME, with "/below" appended unless that is empty. False when it does
 * not fit in room.
 */
bool template_path(char *path, size_t room, const char *state_dir, const char *name,
                   const char *below);

/* What template.json says; it is checked. ERR_NOT_FOUND when there is no such template,
 * ERR_NOT_AVAILABLE when it is broken or of another format; the message says how to mend it.
 */
int template_read(const char *state_dir, const char *name, struct template_info *info,
                  struct err *err);

/* Whether runners can be made from it: template_read, and the root file system is there with the
 * mount points that the worker needs. The same errors.
 */
int template_check(const char *state_dir, const char *name, struct err *err);

/* The same of one that is not in its place yet, in any folder; the message does not say what mends
 * it. No link is followed below the folder.
 */
int template_check_folder(const char *folder, struct err *err);

/* Removes a folder that was a template, STATE_DIR/templates/..., with all in it, unless runners
 * live on its root file system: their monitors hold a lock on it. 0 when it is gone (or was not
 * there), 1 when it is in use and left as it was, -1 when it cannot be removed. It must be where no
 * runner is made from.
 */
int template_remove_unused(const char *folder, struct err *err);

#endif
