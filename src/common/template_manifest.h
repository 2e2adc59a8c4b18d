/* What an archive of a template says of itself before anything else: its format, what it holds and
 * how much of it, so that a reader knows at once whether it wants the rest.
 */
#ifndef COMMON_TEMPLATE_MANIFEST_H
#define COMMON_TEMPLATE_MANIFEST_H

#include "err.h"
#include "ids.h"

#include <stddef.h>
#include <stdint.h>

/* Raised when an earlier program could not read an archive any more. */
#define TEMPLATE_ARCHIVE_FORMAT 1

#define TEMPLATE_MANIFEST_TEXT_MAX 4096
#define TEMPLATE_ENTRIES_MAX 2000000
#define TEMPLATE_BYTES_MAX ((int64_t)64 * 1024 * 1024 * 1024)

struct template_manifest {
    char name[NAME_MAX_LEN + 1]; /* of the template that it was made from */
    char architecture[16];       /* as Debian calls it: "amd64" */
    int64_t entries;             /* without the manifest and the sum */
    int64_t bytes;               /* of all files, unpacked */
};

/* One JSON object, len bytes of it. Fails with what is wrong, an archive of another format first
 * and one of another architecture than this machine's last (ERR_NOT_AVAILABLE both).
 */
int template_manifest_parse(const char *text, size_t len, struct template_manifest *manifest,
                            struct err *err);

/* The same as text, which the caller frees; the architecture is this machine's. */
char *template_manifest_text(const struct template_manifest *manifest);

/* What Debian calls this machine's architecture; what uname says of one that it has no name for. */
void template_architecture(char name[16]);

#endif
