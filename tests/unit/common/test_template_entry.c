#include "../../../src/common/template_entry.h"

#include "../../../src/common/str.h"
#include "../../support/cm.h"

#include <archive.h>
#include <archive_entry.h>

static struct archive_entry *entry;
static struct err err;

static int set_up(void **data)
{
    (void)data;
    entry = archive_entry_new();
    archive_entry_set_pathname(entry, "rootfs/file");
    archive_entry_set_mode(entry, AE_IFREG | 0644);
    archive_entry_set_size(entry, 10);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    archive_entry_free(entry);
    return 0;
}

static void assert_refused(const char *words)
{
    assert_fails(template_entry_check(entry, &err), err, ERR_BAD_REQUEST, words);
}

static void become_folder(const char *path)
{
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, AE_IFDIR | 0755);
    archive_entry_set_size(entry, 0);
}

static void files_folders_and_links_pass(void **data)
{
    (void)data;
    assert_ok(template_entry_check(entry, &err), err);
    archive_entry_set_pathname(entry, "template.json");
    assert_ok(template_entry_check(entry, &err), err);
    become_folder("rootfs/");
    assert_ok(template_entry_check(entry, &err), err);
    become_folder("rootfs/var/mail");
    archive_entry_set_perm(entry, 02775); /* new files there are the group's */
    assert_ok(template_entry_check(entry, &err), err);
    archive_entry_set_mode(entry, AE_IFLNK | 0777);
    archive_entry_set_symlink(entry, "../../../outside");
    assert_ok(template_entry_check(entry, &err), err);
    archive_entry_set_symlink(entry, NULL);
    archive_entry_set_mode(entry, 0);
    archive_entry_set_hardlink(entry, "rootfs/file");
    assert_ok(template_entry_check(entry, &err), err);
}

static void names_stay_inside(void **data)
{
    (void)data;
    static const struct {
        const char *path, *words;
    } cases[] = {
        {"/etc/passwd", "\"/etc/passwd\": must be relative"},
        {"rootfs/../../etc/passwd", "must not hold the components"},
        {"rootfs/./a", "must not hold the components"},
        {"rootfs//a", "without empty components"},
        {"rootfs/a/", "without empty components"},
        {"", "has 0 bytes"},
        {"rootfs/a\nb", "control characters"},
        {"etc/passwd", "is neither template.json nor in rootfs"},
        {"rootfs2/a", "is neither template.json nor in rootfs"},
        {"template.json/a", "is neither template.json nor in rootfs"},
        {"codeland-archive.json", "is neither"},
        {"rootfs", "\"rootfs\": must be a folder"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        archive_entry_set_pathname(entry, cases[i].path);
        assert_refused(cases[i].words);
    }
    become_folder("template.json");
    assert_refused("\"template.json\": must be a file");
    archive_entry_set_pathname(entry, NULL);
    assert_refused("an entry has no name");
}

static void names_are_bounded(void **data)
{
    (void)data;
    char path[2000] = "rootfs/";
    memset(path + 7, 'a', 256);
    path[7 + 256] = '\0';
    archive_entry_set_pathname(entry, path);
    assert_refused("a component has 256 bytes, at most 255 are allowed");
    for (size_t i = 0; i < 1100; i++)
        path[7 + i] = i % 100 == 99 ? '/' : 'a';
    path[7 + 1100 - 1] = '\0';
    archive_entry_set_pathname(entry, path);
    assert_refused("must have 1..1024");
    strcpy(path, "rootfs");
    for (size_t i = 1; i < TEMPLATE_DEPTH_MAX; i++)
        strcat(path, "/a");
    archive_entry_set_pathname(entry, path);
    assert_ok(template_entry_check(entry, &err), err);
    strcat(path, "/a");
    archive_entry_set_pathname(entry, path);
    assert_refused("is 65 folders deep, at most 64 are allowed");
}

static void other_kinds_are_refused(void **data)
{
    (void)data;
    static const struct {
        unsigned type;
        const char *words;
    } cases[] = {
        {AE_IFCHR, "is a character device"}, {AE_IFBLK, "is a block device"},
        {AE_IFIFO, "is a named pipe"},       {AE_IFSOCK, "is a socket"},
        {0, "is of no known kind"},
    };
    archive_entry_set_size(entry, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        archive_entry_set_filetype(entry, cases[i].type);
        assert_refused(cases[i].words);
    }
}

static void no_rights_come_along(void **data)
{
    (void)data;
    archive_entry_set_perm(entry, 04755);
    assert_refused("\"rootfs/file\": is a set-user-id or set-group-id file");
    archive_entry_set_perm(entry, 02755);
    assert_refused("set-group-id");
    archive_entry_set_perm(entry, 0755);
    archive_entry_set_uid(entry, 65535);
    assert_ok(template_entry_check(entry, &err), err);
    archive_entry_set_uid(entry, 65536);
    assert_refused("its owner 65536:0 is out of bounds (0..65535)");
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, -1);
    assert_refused("out of bounds");
    archive_entry_set_gid(entry, 0);
    archive_entry_xattr_add_entry(entry, "user.note", "v", 1);
    assert_ok(template_entry_check(entry, &err), err);
    archive_entry_xattr_add_entry(entry, "security.capability", "v", 1);
    assert_refused("has the attribute \"security.capability\"; only those of \"user.\"");
    archive_entry_xattr_clear(entry);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.redirect", "/etc", 4);
    assert_refused("trusted.overlay.redirect");
    archive_entry_xattr_clear(entry);
    archive_entry_acl_add_entry(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ARCHIVE_ENTRY_ACL_READ,
                                ARCHIVE_ENTRY_ACL_USER, 1000, NULL);
    assert_refused("has an access control list");
}

static void what_it_brings_is_bounded(void **data)
{
    (void)data;
    static const char value[TEMPLATE_XATTR_BYTES_MAX];
    archive_entry_xattr_add_entry(entry, "user.a", value, sizeof(value));
    assert_refused("bytes of extended attributes, at most 65536 are allowed");
    archive_entry_xattr_clear(entry);
    for (size_t i = 0; i <= TEMPLATE_XATTRS_MAX; i++)
        archive_entry_xattr_add_entry(entry, "user.a", "", 0);
    assert_refused("has 33 extended attributes, at most 32 are allowed");
    archive_entry_xattr_clear(entry);
    archive_entry_sparse_add_entry(entry, 5, 5);
    assert_refused("is stored with holes");
    archive_entry_sparse_clear(entry);
    archive_entry_set_size(entry, -1);
    assert_refused("has -1 bytes");
    archive_entry_set_pathname(entry, "template.json");
    archive_entry_set_size(entry, TEMPLATE_ABOUT_BYTES_MAX + 1);
    assert_refused("at most 1048576 are allowed");
    become_folder("rootfs/a");
    archive_entry_set_size(entry, 1);
    assert_refused("has 1 bytes");
    archive_entry_set_size(entry, 0);
    archive_entry_set_mode(entry, AE_IFLNK | 0777);
    assert_refused("is a link to 0 bytes of path");
    char target[TEMPLATE_LINK_MAX + 2];
    memset(target, 'a', sizeof(target));
    target[sizeof(target) - 1] = '\0';
    archive_entry_set_symlink(entry, target);
    assert_refused("is a link to 4096 bytes of path, must be 1..4095");
}

static void further_names_are_of_the_tree(void **data)
{
    (void)data;
    static const struct {
        const char *path, *target, *words;
    } cases[] = {
        {"rootfs/a", "/etc/shadow", "a further name of \"/etc/shadow\", which: must be relative"},
        {"rootfs/a", "rootfs/../../x", "must not hold the components"},
        {"rootfs/a", "template.json", "both must be in rootfs"},
        {"template.json", "rootfs/a", "both must be in rootfs"},
        {"rootfs", "rootfs/a", "both must be in rootfs"},
    };
    archive_entry_set_size(entry, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        archive_entry_set_pathname(entry, cases[i].path);
        archive_entry_set_hardlink(entry, cases[i].target);
        assert_refused(cases[i].words);
    }
    archive_entry_set_pathname(entry, "rootfs/a");
    archive_entry_set_hardlink(entry, "rootfs/b");
    archive_entry_set_size(entry, 1);
    assert_refused("has data itself");
}

static void sum_of(char hex[TEMPLATE_SUM_HEX + 1])
{
    struct template_sum *sum = template_sum_create();
    template_sum_entry(sum, entry);
    template_sum_data(sum, "text", 4);
    template_sum_end(sum, hex);
    template_sum_destroy(sum);
}

static void assert_other_sum(const char *first)
{
    char hex[TEMPLATE_SUM_HEX + 1];
    sum_of(hex);
    assert_string_not_equal(hex, first);
}

static void the_sum_is_of_all_that_counts(void **data)
{
    (void)data;
    char first[TEMPLATE_SUM_HEX + 1], again[TEMPLATE_SUM_HEX + 1];
    sum_of(first);
    assert_int_equal(strlen(first), TEMPLATE_SUM_HEX);
    assert_int_equal(strspn(first, "0123456789abcdef"), TEMPLATE_SUM_HEX);
    sum_of(again);
    assert_string_equal(again, first);
    archive_entry_set_perm(entry, 0600);
    assert_other_sum(first);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_uid(entry, 1);
    assert_other_sum(first);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_mtime(entry, 1, 0);
    assert_other_sum(first);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_size(entry, 9);
    assert_other_sum(first);
    archive_entry_set_size(entry, 10);
    archive_entry_set_pathname(entry, "rootfs/fil");
    assert_other_sum(first);
    archive_entry_set_pathname(entry, "rootfs/file");
    sum_of(again);
    assert_string_equal(again, first);

    /* In whatever order they come. */
    archive_entry_xattr_add_entry(entry, "user.a", "1", 1);
    archive_entry_xattr_add_entry(entry, "user.b", "2", 1);
    assert_other_sum(first);
    sum_of(first);
    archive_entry_xattr_clear(entry);
    archive_entry_xattr_add_entry(entry, "user.b", "2", 1);
    archive_entry_xattr_add_entry(entry, "user.a", "1", 1);
    sum_of(again);
    assert_string_equal(again, first);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(files_folders_and_links_pass),
        CASE(names_stay_inside),
        CASE(names_are_bounded),
        CASE(other_kinds_are_refused),
        CASE(no_rights_come_along),
        CASE(what_it_brings_is_bounded),
        CASE(further_names_are_of_the_tree),
        CASE(the_sum_is_of_all_that_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
