#include "../../../src/common/template_pack.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/template_unpack.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* libarchive forgets its buffer after a failed write; a process that exports ends then. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libarchive.so";
}

static char state[PATH_MAX];
static struct err err;
static struct template_packed packed;
static char listing[16384]; /* what came out: a line for each entry */

static const char *in_root(const char *below)
{
    return scratch_path(scratch_path(state, "templates/base/rootfs"), below);
}

static int set_up(void **data)
{
    (void)data;
    scratch_make(state);
    assert_ok(fd_mkdirs(in_root("usr/libexec"), 0755, &err), err);
    assert_ok(fd_mkdirs(in_root("run/codeland"), 0755, &err), err);
    scratch_write(in_root("usr/libexec/crunner"), "");
    scratch_write(scratch_path(state, "templates/base/template.json"),
                  "{\"format\": 1, \"name\": \"base\", \"description\": \"\", \"from\": \"\", "
                  "\"made\": \"\", \"sizeBytes\": 1, \"packages\": []}");
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    scratch_remove(state);
    return 0;
}

static bool go_on(const char *path, int64_t done, int64_t total, void *data)
{
    unsigned *calls = data;
    assert_non_null(path);
    assert_true(done <= total || total == 0);
    return !calls || (*calls)-- > 0;
}

static int pack(unsigned *calls)
{
    cleanup_close int fd =
        open(scratch_path(state, "archive"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return template_pack(state, "base", fd, go_on, calls, &packed, &err);
}

static int on_manifest(const struct template_manifest *manifest, void *data, struct err *why)
{
    (void)data;
    (void)why;
    assert_string_equal(manifest->name, "base");
    listing[0] = '\0';
    return 0;
}

static int on_entry(struct archive_entry *entry, void *data, struct err *why)
{
    (void)data;
    (void)why;
    size_t used = strlen(listing), len;
    const char *path = template_entry_path(entry, &len);
    const char *hard = archive_entry_hardlink(entry), *link = archive_entry_symlink(entry);
    snprintf(listing + used, sizeof(listing) - used, "%.*s %o %d:%d %d%s%s %d\n", (int)len, path,
             archive_entry_mode(entry), (int)archive_entry_uid(entry),
             (int)archive_entry_gid(entry), (int)archive_entry_size(entry),
             hard || link ? " > " : "",
             hard   ? hard
             : link ? link
                    : "",
             archive_entry_xattr_count(entry));
    return 0;
}

static int on_bytes(const void *bytes, size_t len, void *data, struct err *why)
{
    (void)bytes;
    (void)len;
    (void)data;
    (void)why;
    return 0;
}

static ssize_t on_read(void *data, const void **piece)
{
    static char bytes[4096];
    *piece = bytes;
    return read(*(int *)data, bytes, sizeof(bytes));
}

static void read_back(void)
{
    static const struct template_unpack_sink sink = {on_manifest, on_entry, on_bytes};
    struct template_unpacked unpacked;
    cleanup_close int fd = open(scratch_path(state, "archive"), O_RDONLY | O_CLOEXEC);
    assert_ok(template_unpack(on_read, &sink, &fd, &unpacked, &err), err);
    assert_string_equal(unpacked.sum, packed.sum);
    assert_int_equal(unpacked.bytes, packed.manifest.bytes);
}

static void all_of_a_tree_comes_in_order(void **data)
{
    (void)data;
    scratch_write(in_root("b"), "text");
    assert_int_equal(chmod(in_root("b"), 0640), 0);
    assert_int_equal(lchown(in_root("b"), 1000, 33), 0);
    assert_int_equal(link(in_root("b"), in_root("c")), 0);
    assert_int_equal(symlink("/etc/passwd", in_root("a")), 0);
    assert_int_equal(pack(NULL), 0);
    read_back();
    assert_non_null(strstr(listing, "rootfs 40755 0:0 0 0\n"
                                    "rootfs/a 120777 0:0 0 > /etc/passwd 0\n"
                                    "rootfs/b 100640 1000:33 4 0\n"));
    assert_contains(listing, " > rootfs/b 0\nrootfs/run 40755 0:0 0 0\nrootfs/run/codeland ");
    assert_int_equal(packed.manifest.entries, 10);
    assert_int_equal(packed.left_out, 0);
}

static void names_are_bytes(void **data)
{
    (void)data;
    static const char *const names[] = {"e\xcc\x81", "\xc3\xa9", "\xff\xfe"};
    for (size_t i = 0; i < 3; i++) {
        scratch_write(in_root(names[i]), "x");
        assert_int_equal(symlink(names[i], scratch_path(in_root("usr"), names[i])), 0);
    }
    assert_int_equal(pack(NULL), 0);
    read_back();
    for (size_t i = 0; i < 3; i++) {
        char line[100];
        snprintf(line, sizeof(line), "rootfs/%s 100644 ", names[i]);
        assert_contains(listing, line);
        snprintf(line, sizeof(line), " > %s 0\n", names[i]);
        assert_contains(listing, line);
    }
}

static void what_no_template_may_have_stays_behind(void **data)
{
    (void)data;
    scratch_write(in_root("su"), "x");
    assert_int_equal(chmod(in_root("su"), 06755), 0);
    assert_int_equal(setxattr(in_root("su"), "trusted.note", "v", 1, 0), 0);
    assert_int_equal(mkfifo(in_root("pipe"), 0600), 0);
    assert_int_equal(mknod(in_root("null"), S_IFCHR | 0666, 0x103), 0);
    assert_int_equal(pack(NULL), 0);
    read_back();
    assert_contains(listing, "rootfs/su 100755 0:0 1 0\n");
    assert_null(strstr(listing, "pipe"));
    assert_null(strstr(listing, "null"));
    assert_int_equal(packed.left_out, 2);
}

static void two_copies_have_one_sum(void **data)
{
    (void)data;
    char first[TEMPLATE_SUM_HEX + 1];
    assert_int_equal(pack(NULL), 0);
    memcpy(first, packed.sum, sizeof(first));
    assert_int_equal(chmod(in_root("run"), 0700), 0);
    assert_int_equal(pack(NULL), 0);
    assert_string_not_equal(packed.sum, first);
    assert_int_equal(chmod(in_root("run"), 0755), 0);
    assert_int_equal(pack(NULL), 0);
    assert_string_equal(packed.sum, first);
}

static void what_could_not_be_read_again_is_not_written(void **data)
{
    (void)data;
    scratch_write(in_root("line\nbreak"), "x");
    assert_fails(pack(NULL), err, ERR_BAD_REQUEST, "must not hold control characters");
    assert_int_equal(unlink(in_root("line\nbreak")), 0);
    scratch_write(in_root("far"), "x");
    assert_int_equal(lchown(in_root("far"), 70000, 0), 0);
    assert_fails(pack(NULL), err, ERR_BAD_REQUEST, "\"rootfs/far\": its owner 70000:0");
}

static void a_broken_one_is_not_begun(void **data)
{
    (void)data;
    assert_int_equal(unlink(in_root("usr/libexec/crunner")), 0);
    assert_fails(pack(NULL), err, ERR_NOT_AVAILABLE, "template \"base\" is broken");
    assert_int_equal(template_pack(state, "other", 1, go_on, NULL, &packed, &err), -1);
    assert_contains(err.msg, "template \"other\" is not there");
}

static void it_can_be_ended_at_any_point(void **data)
{
    (void)data;
    scratch_write(in_root("b"), "text");
    unsigned points = 0;
    for (unsigned calls = 0; pack(&calls) != 0; points++) {
        assert_string_equal(err_name(err.code), err_name(ERR_TIMED_OUT));
        assert_contains(err.msg, "interrupted");
        calls = points + 1;
    }
    assert_in_range(points, 18, 40); /* each entry, counted and written, and the data */
    read_back();
}

static void a_full_disk_is_told(void **data)
{
    (void)data;
    char small[PATH_MAX];
    scratch_make(small);
    scratch_small(small, 65536);
    cleanup_close int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    cleanup_close int large = open(in_root("large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char piece[65536];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(read(random, piece, sizeof(piece)), sizeof(piece));
        assert_int_equal(fd_write_all(large, piece, sizeof(piece)), 0);
    }
    int fd = open(scratch_path(small, "archive"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(template_pack(state, "base", fd, go_on, NULL, &packed, &err), -1);
    assert_string_equal(err_name(err.code), err_name(ERR_NO_SPACE));
    assert_contains(err.msg, "cannot write the archive: No space left on device");
    fd_close(&fd);
    scratch_remove(small);
}

int main(void)
{
    scratch_own_mounts();
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(all_of_a_tree_comes_in_order),
        CASE(names_are_bytes),
        CASE(what_no_template_may_have_stays_behind),
        CASE(two_copies_have_one_sum),
        CASE(what_could_not_be_read_again_is_not_written),
        CASE(a_broken_one_is_not_begun),
        CASE(it_can_be_ended_at_any_point),
        CASE(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
