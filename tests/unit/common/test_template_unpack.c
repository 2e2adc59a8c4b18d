#include "../../../src/common/template_unpack.h"

#include "../../support/cm.h"
#include "../../support/made_archive.h"

/* What arrived at the sink. */
static struct {
    unsigned manifests, entries;
    int64_t bytes;
} seen;
static bool refuse;

/* What is read: in two pieces, so that one of them begins somewhere. */
static struct {
    const char *bytes;
    size_t len, at;
} input;

static ssize_t on_read(void *data, const void **piece)
{
    (void)data;
    size_t len = input.at == 0 && input.len > 1 ? input.len / 2 : input.len - input.at;
    *piece = input.bytes + input.at;
    input.at += len;
    return (ssize_t)len;
}

static int on_manifest(const struct template_manifest *manifest, void *data, struct err *err)
{
    (void)data;
    (void)err;
    assert_string_equal(manifest->name, "made");
    seen.manifests++;
    return 0;
}

static int on_entry(struct archive_entry *entry, void *data, struct err *err)
{
    (void)data;
    struct err why;
    assert_ok(template_entry_check(entry, &why), why);
    seen.entries++;
    return refuse ? err_set(err, ERR_NO_SPACE, "no room") : 0;
}

static int on_bytes(const void *bytes, size_t len, void *data, struct err *err)
{
    (void)bytes;
    (void)data;
    (void)err;
    seen.bytes += (int64_t)len;
    return 0;
}

static const struct template_unpack_sink sink = {
    .manifest = on_manifest, .entry = on_entry, .bytes = on_bytes};

static int unpack_bytes(const void *bytes, size_t len, struct template_unpacked *unpacked,
                        struct err *err)
{
    memset(&seen, 0, sizeof(seen));
    input.bytes = bytes;
    input.len = len;
    input.at = 0;
    return template_unpack(on_read, &sink, NULL, unpacked, err);
}

static int unpack(const struct made_spec *spec, struct err *err)
{
    struct buf archive;
    struct template_unpacked unpacked;
    made_archive(&archive, spec);
    int rc = unpack_bytes(archive.data, archive.len, &unpacked, err);
    buf_finish(&archive);
    return rc;
}

static void all_of_a_good_one_arrives(void **data)
{
    (void)data;
    static const struct made_entry further[] = {
        {.path = "rootfs/usr/file", .mode = AE_IFREG | 0640, .text = "text", .uid = 1000},
        {.path = "rootfs/usr/again", .mode = AE_IFREG | 0640, .same = "rootfs/usr/file"},
        {.path = "rootfs/bin", .mode = AE_IFLNK | 0777, .link = "usr/bin"},
        {.path = "rootfs/usr/large", .mode = AE_IFREG | 0644, .filler = 3000000},
        {.path = "rootfs/usr/noted", .mode = AE_IFREG | 0644, .attribute = "user.note"},
    };
    struct err err;
    struct buf archive;
    struct template_unpacked unpacked;
    made_with(&archive, further, 5);
    assert_ok(unpack_bytes(archive.data, archive.len, &unpacked, &err), err);
    assert_int_equal(seen.manifests, 1);
    assert_int_equal(seen.entries, MADE_TEMPLATE_LEN + 5);
    assert_int_equal(unpacked.entries, seen.entries);
    assert_int_equal(unpacked.bytes, seen.bytes);
    assert_int_equal(seen.bytes, 3000004 + (int64_t)strlen(made_template[0].text));
    buf_finish(&archive);
}

static void one_without_compression_is_read_too(void **data)
{
    (void)data;
    struct err err;
    const struct made_spec spec = {
        .entries = made_template, .count = MADE_TEMPLATE_LEN, .plain = true};
    assert_ok(unpack(&spec, &err), err);
}

static void what_is_no_archive_is_said_so(void **data)
{
    (void)data;
    struct err err;
    struct template_unpacked unpacked;
    const struct made_spec other = {
        .entries = made_template, .count = MADE_TEMPLATE_LEN, .no_manifest = true};
    assert_fails(unpack_bytes("", 0, &unpacked, &err), err, ERR_BAD_REQUEST,
                 "this is no archive of a template");
    assert_fails(unpack_bytes("#!/bin/sh\nexit 0\n", 17, &unpacked, &err), err, ERR_BAD_REQUEST,
                 "this is no archive of a template");
    assert_fails(unpack(&other, &err), err, ERR_BAD_REQUEST,
                 "it does not begin with codeland-archive.json");
    assert_int_equal(seen.entries, 0);
}

static void another_format_or_machine_is_said_so(void **data)
{
    (void)data;
    struct err err;
    struct made_spec spec = {.entries = made_template, .count = MADE_TEMPLATE_LEN};
    spec.manifest = "{\"codelandTemplate\": 9, \"name\": \"made\"}";
    assert_fails(unpack(&spec, &err), err, ERR_NOT_AVAILABLE,
                 "codeland-archive.json: its format is 9, this program's is 1");
    spec.manifest = "{\"codelandTemplate\": 1, \"name\": \"made\", \"architecture\": \"pdp11\", "
                    "\"entries\": 8, \"bytes\": 100}";
    assert_fails(unpack(&spec, &err), err, ERR_NOT_AVAILABLE, "of the architecture \"pdp11\"");
    char large[TEMPLATE_MANIFEST_TEXT_MAX + 2];
    memset(large, ' ', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    spec.manifest = large;
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST,
                 "codeland-archive.json has 4097 bytes, at most 4096 are allowed");
    assert_int_equal(seen.manifests, 0);
}

/* Cut anywhere, changed anywhere: it is never taken for whole. */
static void what_is_damaged_is_noticed(void **data)
{
    (void)data;
    struct err err;
    struct buf archive;
    struct template_unpacked unpacked;
    const struct made_spec plain = {
        .entries = made_template, .count = MADE_TEMPLATE_LEN, .plain = true};
    const struct made_spec packed = {.entries = made_template, .count = MADE_TEMPLATE_LEN};
    made_archive(&archive, &packed);
    for (size_t len = 0; len + 1 < archive.len; len += 7)
        assert_int_equal(unpack_bytes(archive.data, len, &unpacked, &err), -1);
    assert_int_equal(unpack_bytes(archive.data, archive.len, &unpacked, &err), 0);
    buf_finish(&archive);

    made_archive(&archive, &plain);
    const size_t text = 1024 + 512; /* of template.json, behind the manifest and its own header */
    assert_memory_equal(archive.data + text, "{\"format\"", 9);
    archive.data[text + 40] ^= 1;
    assert_fails(unpack_bytes(archive.data, archive.len, &unpacked, &err), err, ERR_BAD_REQUEST,
                 "the archive is damaged: what it holds is not what was packed");
    archive.data[text + 40] ^= 1;
    assert_fails(unpack_bytes(archive.data, text + 100, &unpacked, &err), err, ERR_BAD_REQUEST,
                 "the archive is damaged or cut off, after 0 of 8 entries");
    buf_finish(&archive);
}

static void the_end_must_be_the_sum(void **data)
{
    (void)data;
    struct err err;
    static const struct made_entry more = {.path = "rootfs/x", .mode = AE_IFREG | 0644};
    struct made_spec spec = {.entries = made_template, .count = MADE_TEMPLATE_LEN, .no_sum = true};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST,
                 "damaged or cut off, after 8 of 8 entries");
    spec = (struct made_spec){.entries = made_template, .count = MADE_TEMPLATE_LEN, .last = &more};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST,
                 "the archive goes on after its sum, with \"rootfs/x\"");
    spec = (struct made_spec){.entries = made_template, .count = MADE_TEMPLATE_LEN, .sum = "00"};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST, "is not what was packed");
}

static void no_more_than_the_manifest_tells(void **data)
{
    (void)data;
    struct err err;
    struct made_spec spec = {
        .entries = made_template, .count = MADE_TEMPLATE_LEN, .more_entries = -1};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST,
                 "there are more than the manifest's 7 entries");
    assert_int_equal(seen.entries, 7);
    static const struct made_entry bomb[] = {
        {.path = "rootfs", .mode = AE_IFDIR | 0755},
        {.path = "rootfs/zeros", .mode = AE_IFREG | 0644, .filler = 40000000},
    };
    spec = (struct made_spec){.entries = bomb, .count = 2, .more_bytes = -1};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST,
                 "there are more than the manifest's 39999999 bytes");
    assert_int_equal(seen.bytes, 0);
    spec =
        (struct made_spec){.entries = made_template, .count = MADE_TEMPLATE_LEN, .more_entries = 1};
    assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST, "is not what was packed");
}

static void hostile_entries_do_not_arrive(void **data)
{
    (void)data;
    static const struct {
        struct made_entry entry;
        const char *words;
    } cases[] = {
        {{.path = "/etc/cron.d/x", .mode = AE_IFREG | 0644}, "must be relative"},
        {{.path = "rootfs/../../x", .mode = AE_IFREG | 0644}, "\"..\""},
        {{.path = "x", .mode = AE_IFREG | 0644}, "is neither template.json nor in rootfs"},
        {{.path = "rootfs/null", .mode = AE_IFCHR | 0666}, "is a character device"},
        {{.path = "rootfs/disk", .mode = AE_IFBLK | 0666}, "is a block device"},
        {{.path = "rootfs/pipe", .mode = AE_IFIFO | 0666}, "is a named pipe"},
        {{.path = "rootfs/su", .mode = AE_IFREG | 04755}, "is a set-user-id"},
        {{.path = "rootfs/a", .mode = AE_IFREG | 0644, .uid = 70000}, "its owner 70000:0"},
        {{.path = "rootfs/a", .mode = AE_IFREG | 0644, .attribute = "security.capability"},
         "security.capability"},
        {{.path = "rootfs/a", .mode = AE_IFREG | 0644, .attribute = "trusted.overlay.redirect"},
         "trusted.overlay.redirect"},
        {{.path = "rootfs/a", .mode = AE_IFREG | 0644, .same = "../../etc/shadow"}, "\"..\""},
        {{.path = "rootfs/a", .mode = AE_IFREG | 0644, .same = "template.json"},
         "both must be in rootfs"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        const struct made_spec spec = {.entries = &cases[i].entry, .count = 1};
        assert_fails(unpack(&spec, &err), err, ERR_BAD_REQUEST, cases[i].words);
        assert_int_equal(seen.entries, 0);
    }
}

static void what_the_sink_refuses_ends_it(void **data)
{
    (void)data;
    struct err err;
    const struct made_spec spec = {.entries = made_template, .count = MADE_TEMPLATE_LEN};
    refuse = true;
    assert_fails(unpack(&spec, &err), err, ERR_NO_SPACE, "no room");
    refuse = false;
    assert_int_equal(seen.entries, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_good_one_arrives),
        cmocka_unit_test(one_without_compression_is_read_too),
        cmocka_unit_test(what_is_no_archive_is_said_so),
        cmocka_unit_test(another_format_or_machine_is_said_so),
        cmocka_unit_test(what_is_damaged_is_noticed),
        cmocka_unit_test(the_end_must_be_the_sum),
        cmocka_unit_test(no_more_than_the_manifest_tells),
        cmocka_unit_test(hostile_entries_do_not_arrive),
        cmocka_unit_test(what_the_sink_refuses_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
