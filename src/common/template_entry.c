#include "template_entry.h"

#include "mem.h"
#include "path.h"
#include "str.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *template_entry_path(struct archive_entry *entry, size_t *len)
{
    const char *path = archive_entry_pathname(entry);
    *len = path ? strlen(path) : 0;
    if (*len > 1 && path[*len - 1] == '/' && archive_entry_filetype(entry) == AE_IFDIR)
        --*len;
    return path;
}

/* Whether it is the root or something in it. */
static bool in_root(const char *path, size_t len)
{
    const size_t root = strlen(TEMPLATE_ENTRY_ROOT);
    return len >= root && memcmp(path, TEMPLATE_ENTRY_ROOT, root) == 0 &&
           (len == root || path[root] == '/');
}

static int check_path(const char *path, size_t len, struct err *err)
{
    size_t depth = 1;
    if (path_check_inside(path, len, err) != 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        depth += path[i] == '/';
    if (depth > TEMPLATE_DEPTH_MAX)
        return err_set(err, ERR_BAD_REQUEST, "is %zu folders deep, at most %d are allowed", depth,
                       TEMPLATE_DEPTH_MAX);
    return 0;
}

static int check_place(const char *path, size_t len, mode_t type, struct err *err)
{
    if (len == strlen(TEMPLATE_ENTRY_ABOUT) && memcmp(path, TEMPLATE_ENTRY_ABOUT, len) == 0)
        return type == AE_IFREG ? 0 : err_set(err, ERR_BAD_REQUEST, "must be a file");
    if (!in_root(path, len))
        return err_set(err, ERR_BAD_REQUEST,
                       "is neither " TEMPLATE_ENTRY_ABOUT " nor in " TEMPLATE_ENTRY_ROOT);
    if (len == strlen(TEMPLATE_ENTRY_ROOT) && type != AE_IFDIR)
        return err_set(err, ERR_BAD_REQUEST, "must be a folder");
    return 0;
}

static int check_type(mode_t type, struct err *err)
{
    static const struct {
        mode_t type;
        const char *what;
    } others[] = {
        {AE_IFCHR, "a character device"},
        {AE_IFBLK, "a block device"},
        {AE_IFIFO, "a named pipe"},
        {AE_IFSOCK, "a socket"},
    };
    if (type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK)
        return 0;
    const char *what = "of no known kind";
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (type == others[i].type)
            what = others[i].what;
    return err_set(err, ERR_BAD_REQUEST,
                   "is %s; a template has files, folders and links, nothing else", what);
}

/* A file's second name: only what leads into the tree, and it brings nothing of its own. */
static int check_hard_link(struct archive_entry *entry, const char *path, size_t len,
                           const char *target, struct err *err)
{
    size_t target_len = strlen(target);
    if (check_path(target, target_len, err) != 0)
        return err_context(err, "a further name of \"%.200s\", which", target);
    if (!in_root(target, target_len) || !in_root(path, len) || len == strlen(TEMPLATE_ENTRY_ROOT))
        return err_set(err, ERR_BAD_REQUEST,
                       "is a further name of \"%.200s\": both must be in " TEMPLATE_ENTRY_ROOT,
                       target);
    if (archive_entry_size(entry) != 0)
        return err_set(err, ERR_BAD_REQUEST, "is a further name of a file and has data itself");
    return 0;
}

static int check_rights(struct archive_entry *entry, mode_t type, struct err *err)
{
    int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
    if (uid < 0 || uid > TEMPLATE_OWNER_MAX || gid < 0 || gid > TEMPLATE_OWNER_MAX)
        return err_set(err, ERR_BAD_REQUEST, "its owner %lld:%lld is out of bounds (0..%d)",
                       (long long)uid, (long long)gid, TEMPLATE_OWNER_MAX);
    if (type == AE_IFREG && archive_entry_perm(entry) & (S_ISUID | S_ISGID))
        return err_set(err, ERR_BAD_REQUEST,
                       "is a set-user-id or set-group-id file, and a template has none");
    return 0;
}

static int check_attributes(struct archive_entry *entry, struct err *err)
{
    const char *name;
    const void *value;
    size_t len, total = 0;
    int count = archive_entry_xattr_reset(entry);
    if (count > TEMPLATE_XATTRS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "has %d extended attributes, at most %d are allowed",
                       count, TEMPLATE_XATTRS_MAX);
    while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
        if (!str_starts_with(name, "user."))
            return err_set(err, ERR_BAD_REQUEST,
                           "has the attribute \"%.60s\"; only those of \"user.\" are allowed",
                           name);
        total += strlen(name) + len;
    }
    if (total > TEMPLATE_XATTR_BYTES_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "has %zu bytes of extended attributes, at most %d are allowed", total,
                       TEMPLATE_XATTR_BYTES_MAX);
    if (archive_entry_acl_types(entry) != 0)
        return err_set(err, ERR_BAD_REQUEST, "has an access control list");
    return 0;
}

static int check_data(struct archive_entry *entry, const char *path, size_t len, mode_t type,
                      struct err *err)
{
    int64_t size = archive_entry_size(entry);
    if (size < 0 || (type != AE_IFREG && size != 0))
        return err_set(err, ERR_BAD_REQUEST, "has %lld bytes", (long long)size);
    if (!in_root(path, len) && size > TEMPLATE_ABOUT_BYTES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "has %lld bytes, at most %d are allowed",
                       (long long)size, TEMPLATE_ABOUT_BYTES_MAX);
    if (archive_entry_sparse_count(entry) > 0)
        return err_set(err, ERR_BAD_REQUEST, "is stored with holes");
    if (type != AE_IFLNK)
        return 0;
    const char *target = archive_entry_symlink(entry);
    size_t target_len = target ? strlen(target) : 0;
    if (target_len == 0 || target_len > TEMPLATE_LINK_MAX)
        return err_set(err, ERR_BAD_REQUEST, "is a link to %zu bytes of path, must be 1..%d",
                       target_len, TEMPLATE_LINK_MAX);
    return 0;
}

static int check(struct archive_entry *entry, const char *path, size_t len, struct err *err)
{
    mode_t type = archive_entry_filetype(entry);
    const char *hard = archive_entry_hardlink(entry);
    if (check_path(path, len, err) != 0)
        return -1;
    if (hard)
        return check_hard_link(entry, path, len, hard, err);
    if (check_type(type, err) != 0 || check_place(path, len, type, err) != 0 ||
        check_rights(entry, type, err) != 0 || check_attributes(entry, err) != 0)
        return -1;
    return check_data(entry, path, len, type, err);
}

int template_entry_check(struct archive_entry *entry, struct err *err)
{
    size_t len;
    const char *path = template_entry_path(entry, &len);
    if (!path)
        return err_set(err, ERR_BAD_REQUEST, "an entry has no name");
    if (check(entry, path, len, err) != 0)
        return err_context(err, "\"%.*s\"", (int)(len < 200 ? len : 200), path);
    return 0;
}

struct template_sum {
    EVP_MD_CTX *context;
};

struct template_sum *template_sum_create(void)
{
    struct template_sum *sum = mem_new(struct template_sum);
    sum->context = EVP_MD_CTX_new();
    if (!sum->context || EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) != 1)
        mem_exhausted();
    return sum;
}

void template_sum_destroy(struct template_sum *sum)
{
    if (!sum)
        return;
    EVP_MD_CTX_free(sum->context);
    free(sum);
}

void template_sum_data(struct template_sum *sum, const void *data, size_t len)
{
    if (EVP_DigestUpdate(sum->context, data, len) != 1)
        mem_exhausted();
}

/* With its NUL, so that no two texts run together. */
static void add_text(struct template_sum *sum, const char *text)
{
    template_sum_data(sum, text, strlen(text) + 1);
}

struct attribute {
    const char *name;
    const void *value;
    size_t len;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct attribute *)a)->name, ((const struct attribute *)b)->name);
}

/* In order: an archive gives them in another than a file system. */
static void add_attributes(struct template_sum *sum, struct archive_entry *entry)
{
    struct attribute list[TEMPLATE_XATTRS_MAX];
    size_t count = 0;
    archive_entry_xattr_reset(entry);
    while (count < TEMPLATE_XATTRS_MAX &&
           archive_entry_xattr_next(entry, &list[count].name, &list[count].value,
                                    &list[count].len) == ARCHIVE_OK)
        count++;
    qsort(list, count, sizeof(list[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        char len[24];
        str_format(len, sizeof(len), "%zu", list[i].len);
        add_text(sum, list[i].name);
        add_text(sum, len);
        template_sum_data(sum, list[i].value, list[i].len);
    }
}

void template_sum_entry(struct template_sum *sum, struct archive_entry *entry)
{
    size_t len;
    char text[128];
    const char *path = template_entry_path(entry, &len);
    const char *hard = archive_entry_hardlink(entry);
    const char *link = archive_entry_symlink(entry);
    template_sum_data(sum, path, len);
    add_text(sum, "");
    if (hard) {
        add_text(sum, "same");
        add_text(sum, hard);
        return;
    }
    str_format(text, sizeof(text), "%o %lld %lld %lld %lld", archive_entry_mode(entry),
               (long long)archive_entry_uid(entry), (long long)archive_entry_gid(entry),
               (long long)archive_entry_size(entry), (long long)archive_entry_mtime(entry));
    add_text(sum, text);
    add_text(sum, link ? link : "");
    add_attributes(sum, entry);
}

void template_sum_end(struct template_sum *sum, char hex[TEMPLATE_SUM_HEX + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_DigestFinal_ex(sum->context, digest, NULL) != 1)
        mem_exhausted();
    for (size_t i = 0; i < TEMPLATE_SUM_HEX / 2; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}
