/* Archives of templates, made by hand: good ones, and such as no program of ours writes. */
#ifndef SUPPORT_MADE_ARCHIVE_H
#define SUPPORT_MADE_ARCHIVE_H

#include "../../src/common/buf.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>

struct made_entry {
    const char *path;
    unsigned mode;    /* AE_IF... | permissions */
    const char *text; /* a file's; NULL: "" */
    const char *link; /* a symbolic link's target */
    const char *same; /* the file that it is a further name of */
    int64_t uid;
    const char *attribute; /* an extended attribute's name; its value is "v" */
    int64_t filler;        /* so many zero bytes in place of text */
};

/* What is not set is as it should be. */
struct made_spec {
    const struct made_entry *entries;
    size_t count;
    const char *manifest, *sum;       /* the whole texts */
    int64_t more_entries, more_bytes; /* than there are, in the manifest */
    bool no_manifest, no_sum;
    const struct made_entry *last; /* behind the sum */
    bool plain;                    /* not compressed */
};

#define MADE_BYTES_MAX (64 * 1024 * 1024)

/* Fills archive, which is buf_init'ed here and the caller's to finish. */
void made_archive(struct buf *archive, const struct made_spec *spec);

/* The least that is a template: template.json, and a tree with the mount points. */
extern const struct made_entry made_template[];
#define MADE_TEMPLATE_LEN 8

/* That one, with further entries behind it. */
void made_with(struct buf *archive, const struct made_entry *further, size_t count);

#endif
