#include "template_unpack.h"

#include "mem.h"
#include "str.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <string.h>

struct unpack {
    struct archive *archive;
    template_unpack_read read;
    const struct template_unpack_sink *sink;
    void *data;
    struct template_unpacked *unpacked;
    struct template_sum *sum;
    struct err *err;
};

static la_ssize_t on_read(struct archive *archive, void *data, const void **piece)
{
    const struct unpack *unpack = data;
    ssize_t got = unpack->read(unpack->data, piece);
    if (got < 0)
        archive_set_error(archive, errno, "%s", strerror(errno));
    return got;
}

static int damaged(const struct unpack *unpack)
{
    const struct template_unpacked *at = unpack->unpacked;
    const char *why = archive_error_string(unpack->archive);
    if (at->manifest.entries == 0)
        return err_set(unpack->err, ERR_BAD_REQUEST, "this is no archive of a template: %s",
                       why ? why : "it cannot be read");
    return err_set(unpack->err, ERR_BAD_REQUEST,
                   "the archive is damaged or cut off, after %lld of %lld entries: %s",
                   (long long)at->entries, (long long)at->manifest.entries,
                   why ? why : "it cannot be read");
}

/* 1 with the next entry, 0 at the end. A warning is a name or a number that was not understood. */
static int next_entry(const struct unpack *unpack, struct archive_entry **entry)
{
    int rc = archive_read_next_header(unpack->archive, entry);
    if (rc == ARCHIVE_OK)
        return 1;
    return rc == ARCHIVE_EOF ? 0 : damaged(unpack);
}

static bool is_named(struct archive_entry *entry, const char *name)
{
    const char *path = archive_entry_pathname(entry);
    return path && strcmp(path, name) == 0 && archive_entry_filetype(entry) == AE_IFREG &&
           !archive_entry_hardlink(entry);
}

/* A small file of the archive's own. */
static int read_text(const struct unpack *unpack, struct archive_entry *entry, char *text,
                     size_t room)
{
    int64_t size = archive_entry_size(entry);
    if (size < 0 || size >= (int64_t)room)
        return err_set(unpack->err, ERR_BAD_REQUEST, "%s has %lld bytes, at most %zu are allowed",
                       archive_entry_pathname(entry), (long long)size, room - 1);
    memset(text, 0, room);
    for (size_t len = 0; len < (size_t)size;) {
        la_ssize_t got = archive_read_data(unpack->archive, text + len, (size_t)size - len);
        if (got <= 0)
            return damaged(unpack);
        len += (size_t)got;
    }
    return 0;
}

static int read_manifest(struct unpack *unpack)
{
    char text[TEMPLATE_MANIFEST_TEXT_MAX + 1];
    struct archive_entry *entry;
    struct template_manifest manifest = {0};
    int rc = next_entry(unpack, &entry);
    if (rc < 0)
        return -1;
    if (rc == 0 || !is_named(entry, TEMPLATE_ENTRY_MANIFEST))
        return err_set(
            unpack->err, ERR_BAD_REQUEST,
            "this is no archive of a template: it does not begin with " TEMPLATE_ENTRY_MANIFEST);
    if (read_text(unpack, entry, text, sizeof(text)) != 0)
        return -1;
    if (template_manifest_parse(text, strlen(text), &manifest, unpack->err) != 0)
        return err_context(unpack->err, TEMPLATE_ENTRY_MANIFEST);
    template_sum_data(unpack->sum, text, strlen(text));
    unpack->unpacked->manifest = manifest;
    return unpack->sink->manifest(&manifest, unpack->data, unpack->err);
}

static int take_bytes(struct unpack *unpack, const void *bytes, size_t len)
{
    template_sum_data(unpack->sum, bytes, len);
    unpack->unpacked->bytes += (int64_t)len;
    return unpack->sink->bytes(bytes, len, unpack->data, unpack->err);
}

/* Exactly the bytes that were announced, in one piece after the other. */
static int read_data(struct unpack *unpack, int64_t size)
{
    const void *bytes;
    size_t len;
    int64_t offset, at = 0;
    while (at < size) {
        int rc = archive_read_data_block(unpack->archive, &bytes, &len, &offset);
        if (rc != ARCHIVE_OK)
            return damaged(unpack);
        if (offset != at || len == 0 || len > (uint64_t)(size - at))
            return err_set(unpack->err, ERR_BAD_REQUEST,
                           "the archive is damaged: a file is stored with holes");
        if (take_bytes(unpack, bytes, len) != 0)
            return -1;
        at += (int64_t)len;
    }
    return 0;
}

static int check_bounds(const struct unpack *unpack, int64_t size)
{
    const struct template_unpacked *at = unpack->unpacked;
    if (at->entries == at->manifest.entries)
        return err_set(unpack->err, ERR_BAD_REQUEST,
                       "there are more than the manifest's %lld "
                       "entries",
                       (long long)at->manifest.entries);
    if (size > at->manifest.bytes - at->bytes)
        return err_set(unpack->err, ERR_BAD_REQUEST,
                       "there are more than the manifest's %lld "
                       "bytes",
                       (long long)at->manifest.bytes);
    return 0;
}

static int take_entry(struct unpack *unpack, struct archive_entry *entry)
{
    if (template_entry_check(entry, unpack->err) != 0)
        return -1;
    const int64_t size = archive_entry_size(entry);
    if (check_bounds(unpack, size) != 0)
        return -1;
    template_sum_entry(unpack->sum, entry);
    if (unpack->sink->entry(entry, unpack->data, unpack->err) != 0 || read_data(unpack, size) != 0)
        return -1;
    unpack->unpacked->entries++;
    return 0;
}

static int check_sum(struct unpack *unpack, struct archive_entry *entry)
{
    char wanted[TEMPLATE_SUM_HEX + 2];
    struct template_unpacked *at = unpack->unpacked;
    if (read_text(unpack, entry, wanted, sizeof(wanted)) != 0)
        return -1;
    wanted[strcspn(wanted, "\n")] = '\0';
    template_sum_end(unpack->sum, at->sum);
    if (strcmp(wanted, at->sum) != 0 || at->entries != at->manifest.entries ||
        at->bytes != at->manifest.bytes)
        return err_set(unpack->err, ERR_BAD_REQUEST,
                       "the archive is damaged: what it holds is not what was packed (sum %s)",
                       at->sum);
    int rc = next_entry(unpack, &entry);
    return rc <= 0 ? rc
                   : err_set(unpack->err, ERR_BAD_REQUEST,
                             "the archive goes on after its sum, with \"%.200s\"",
                             archive_entry_pathname(entry));
}

static int read_all(struct unpack *unpack)
{
    struct archive_entry *entry;
    int rc = read_manifest(unpack);
    while (rc == 0 && (rc = next_entry(unpack, &entry)) > 0) {
        if (is_named(entry, TEMPLATE_ENTRY_SUM))
            return check_sum(unpack, entry);
        rc = take_entry(unpack, entry);
    }
    return rc < 0 ? -1 : damaged(unpack);
}

/* The one format. */
static int open_archive(struct unpack *unpack)
{
    unpack->archive = archive_read_new();
    if (!unpack->archive || archive_read_support_format_tar(unpack->archive) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(unpack->archive) != ARCHIVE_OK)
        mem_exhausted();
    return archive_read_open(unpack->archive, unpack, NULL, on_read, NULL) == ARCHIVE_OK
               ? 0
               : damaged(unpack);
}

int template_unpack(template_unpack_read read, const struct template_unpack_sink *sink, void *data,
                    struct template_unpacked *unpacked, struct err *err)
{
    struct unpack unpack = {.read = read,
                            .sink = sink,
                            .data = data,
                            .unpacked = unpacked,
                            .sum = template_sum_create(),
                            .err = err};
    *unpacked = (struct template_unpacked){0};
    locale_t plain = newlocale(LC_ALL_MASK, "C", NULL); /* as in template_pack */
    locale_t before = uselocale(plain);
    int rc = open_archive(&unpack) == 0 ? read_all(&unpack) : -1;
    archive_read_free(unpack.archive);
    uselocale(before);
    freelocale(plain);
    template_sum_destroy(unpack.sum);
    return rc;
}
