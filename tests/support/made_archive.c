#include "made_archive.h"

#include "../../src/common/mem.h"
#include "../../src/common/template_entry.h"
#include "../../src/common/template_manifest.h"
#include "cm.h"

#include <string.h>

#define FOLDER (AE_IFDIR | 0755)

const struct made_entry made_template[MADE_TEMPLATE_LEN] = {
    {.path = "template.json",
     .mode = AE_IFREG | 0644,
     .text = "{\"format\": 1, \"name\": \"made\", \"description\": \"made by a test\", \"from\": "
             "\"here\", \"made\": \"now\", \"sizeBytes\": 1, \"languages\": [], \"packages\": []}"},
    {.path = "rootfs", .mode = FOLDER},
    {.path = "rootfs/run", .mode = FOLDER},
    {.path = "rootfs/run/codeland", .mode = FOLDER},
    {.path = "rootfs/usr", .mode = FOLDER},
    {.path = "rootfs/usr/libexec", .mode = FOLDER},
    {.path = "rootfs/usr/libexec/crunner", .mode = AE_IFREG | 0755},
    {.path = "rootfs/tmp", .mode = AE_IFDIR | 01777},
};

static int64_t size_of(const struct made_entry *made)
{
    return made->filler ? made->filler : (int64_t)(made->text ? strlen(made->text) : 0);
}

static struct archive_entry *entry_of(const struct made_entry *made)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_copy_pathname(entry, made->path);
    archive_entry_set_mode(entry, made->mode);
    archive_entry_set_uid(entry, made->uid);
    archive_entry_set_size(entry, size_of(made));
    if (made->link)
        archive_entry_copy_symlink(entry, made->link);
    if (made->same)
        archive_entry_copy_hardlink(entry, made->same);
    if (made->attribute)
        archive_entry_xattr_add_entry(entry, made->attribute, "v", 1);
    return entry;
}

static void put_entry(struct archive *archive, const struct made_entry *made,
                      struct template_sum *sum)
{
    static const char zeros[65536];
    struct archive_entry *entry = entry_of(made);
    if (sum)
        template_sum_entry(sum, entry);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    for (int64_t left = size_of(made); left > 0;) {
        size_t len = left < (int64_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);
        const char *data = made->filler ? zeros : made->text;
        assert_int_equal(archive_write_data(archive, data, len), len);
        if (sum)
            template_sum_data(sum, data, len);
        left -= (int64_t)len;
    }
    archive_entry_free(entry);
}

static void put_text(struct archive *archive, const char *path, const char *text)
{
    const struct made_entry made = {.path = path, .mode = AE_IFREG | 0644, .text = text};
    put_entry(archive, &made, NULL);
}

static la_ssize_t on_write(struct archive *archive, void *data, const void *bytes, size_t len)
{
    (void)archive;
    assert_true(buf_append(data, bytes, len));
    return (la_ssize_t)len;
}

static char *manifest_of(const struct made_spec *spec)
{
    struct template_manifest manifest = {.name = "made"};
    if (spec->manifest)
        return mem_strdup(spec->manifest);
    manifest.entries = (int64_t)spec->count + spec->more_entries;
    manifest.bytes = spec->more_bytes;
    for (size_t i = 0; i < spec->count; i++)
        manifest.bytes += size_of(&spec->entries[i]);
    return template_manifest_text(&manifest);
}

void made_archive(struct buf *out, const struct made_spec *spec)
{
    char hex[TEMPLATE_SUM_HEX + 1];
    struct archive *archive = archive_write_new();
    struct template_sum *sum = template_sum_create();
    cleanup_free char *manifest = manifest_of(spec);
    buf_init(out, MADE_BYTES_MAX);
    if (!spec->plain)
        assert_int_equal(archive_write_add_filter_zstd(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_pax_restricted(archive), ARCHIVE_OK);
    archive_write_set_format_option(archive, "pax", "xattrheader", "SCHILY");
    archive_write_set_bytes_per_block(archive, 512);
    archive_write_set_bytes_in_last_block(archive, 1);
    assert_int_equal(archive_write_open(archive, out, NULL, on_write, NULL), ARCHIVE_OK);
    template_sum_data(sum, manifest, strlen(manifest));
    if (!spec->no_manifest)
        put_text(archive, TEMPLATE_ENTRY_MANIFEST, manifest);
    for (size_t i = 0; i < spec->count; i++)
        put_entry(archive, &spec->entries[i], sum);
    template_sum_end(sum, hex);
    if (!spec->no_sum)
        put_text(archive, TEMPLATE_ENTRY_SUM, spec->sum ? spec->sum : hex);
    if (spec->last)
        put_entry(archive, spec->last, NULL);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    template_sum_destroy(sum);
}

void made_with(struct buf *archive, const struct made_entry *further, size_t count)
{
    cleanup_free struct made_entry *all = mem_calloc(MADE_TEMPLATE_LEN + count, sizeof(*all));
    memcpy(all, made_template, MADE_TEMPLATE_LEN * sizeof(*all));
    if (count > 0)
        memcpy(all + MADE_TEMPLATE_LEN, further, count * sizeof(*all));
    const struct made_spec spec = {.entries = all, .count = MADE_TEMPLATE_LEN + count};
    made_archive(archive, &spec);
}
