/* An archive of a template that anybody may have sent, without the disk that it goes to. */
#include "fuzz.h"

#include "../../src/common/template_unpack.h"

struct input {
    const uint8_t *data;
    size_t len, at;
    struct template_manifest manifest;
    int64_t entries, bytes;
};

static ssize_t on_read(void *data, const void **piece)
{
    struct input *input = data;
    size_t len = input->len - input->at < 512 ? input->len - input->at : 512;
    *piece = input->data + input->at;
    input->at += len;
    return (ssize_t)len;
}

static int on_manifest(const struct template_manifest *manifest, void *data, struct err *err)
{
    struct input *input = data;
    (void)err;
    must(id_name_valid(manifest->name));
    must(manifest->entries >= 1 && manifest->entries <= TEMPLATE_ENTRIES_MAX);
    must(manifest->bytes >= 0 && manifest->bytes <= TEMPLATE_BYTES_MAX);
    input->manifest = *manifest;
    return 0;
}

static int on_entry(struct archive_entry *entry, void *data, struct err *err)
{
    struct input *input = data;
    struct err why;
    size_t len;
    const char *path = template_entry_path(entry, &len);
    (void)err;
    must(template_entry_check(entry, &why) == 0);
    must(path[0] != '/' && len > 0);
    must(strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
    must(strncmp(path, "rootfs", 6) == 0 || strcmp(path, "template.json") == 0);
    must(++input->entries <= input->manifest.entries);
    return 0;
}

static int on_bytes(const void *bytes, size_t len, void *data, struct err *err)
{
    struct input *input = data;
    (void)bytes;
    (void)err;
    input->bytes += (int64_t)len;
    must(input->bytes <= input->manifest.bytes);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_unpack_sink sink = {on_manifest, on_entry, on_bytes};
    struct input input = {.data = data, .len = size};
    struct template_unpacked unpacked;
    struct err err = {0};
    if (template_unpack(on_read, &sink, &input, &unpacked, &err) == 0)
        must(unpacked.entries == unpacked.manifest.entries && input.bytes == unpacked.bytes);
    else
        must(err.msg[0]);
    return 0;
}
