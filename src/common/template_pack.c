#include "template_pack.h"

#include "fd.h"
#include "mem.h"
#include "str.h"
#include "template.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <locale.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PIECE_BYTES 65536

/* How it works. The tree is walked twice, in order of names: to count, for the manifest, and to
 * write. Its folder is held open and reached by that descriptor, and the lock of a runner's monitor
 * is taken on its root, so that it stays what it is when another takes its name.
 */
struct pack {
    const char *name;
    template_pack_tick tick;
    void *data;
    struct err *err;
    struct template_packed *packed;
    char folder[64]; /* /proc/self/fd/N */
    struct archive *disk, *archive;
    struct archive_entry_linkresolver *links;
    struct template_sum *sum;
    bool counting;
    bool foreign; /* some name or link is not ASCII */
    int64_t entries, bytes;
};

static int explain(const struct pack *pack, const char *doing)
{
    int sys_errno = archive_errno(pack->archive);
    if (sys_errno == ENOSPC || sys_errno == EDQUOT)
        return err_sys(pack->err, ERR_NO_SPACE, sys_errno, "cannot write the archive");
    if (sys_errno == EPIPE)
        return err_set(pack->err, ERR_NOT_AVAILABLE, "who reads the archive has stopped, at %s",
                       doing);
    return err_set(pack->err, ERR_INTERNAL, "cannot write the archive, at %s: %s", doing,
                   archive_error_string(pack->archive));
}

static int tick(const struct pack *pack, const char *path)
{
    int64_t total = pack->counting ? 0 : pack->packed->manifest.bytes;
    if (pack->tick(path, pack->counting ? 0 : pack->bytes, total, pack->data))
        return 0;
    return err_set(pack->err, ERR_TIMED_OUT, "interrupted");
}

static int write_header(const struct pack *pack, struct archive_entry *entry)
{
    if (archive_write_header(pack->archive, entry) == ARCHIVE_OK)
        return 0;
    return explain(pack, archive_entry_pathname(entry));
}

static int write_data(const struct pack *pack, const char *path, const void *data, size_t len)
{
    return archive_write_data(pack->archive, data, len) == (la_ssize_t)len ? 0
                                                                           : explain(pack, path);
}

static int write_text(const struct pack *pack, const char *path, const char *text)
{
    size_t len = strlen(text);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, AE_IFREG | 0644);
    archive_entry_set_size(entry, (int64_t)len);
    int rc = write_header(pack, entry) == 0 && write_data(pack, path, text, len) == 0 ? 0 : -1;
    archive_entry_free(entry);
    return rc;
}

static int changed(const struct pack *pack, const char *path)
{
    return err_set(pack->err, ERR_NOT_AVAILABLE, "%s changed while it was read", path);
}

static int write_file(struct pack *pack, const char *source, const char *path, int64_t size)
{
    static char piece[PIECE_BYTES];
    cleanup_close int file = open(source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return err_sys(pack->err, ERR_INTERNAL, errno, "%s", path);
    while (size > 0) {
        ssize_t got = read(file, piece, size < PIECE_BYTES ? (size_t)size : PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(pack->err, ERR_INTERNAL, errno, "%s", path);
        if (got == 0)
            return changed(pack, path);
        template_sum_data(pack->sum, piece, (size_t)got);
        size -= got;
        pack->bytes += got;
        if (write_data(pack, path, piece, (size_t)got) != 0 || tick(pack, path) != 0)
            return -1;
    }
    return 0;
}

/* Only what template_entry_check lets pass, and nothing that two copies of a tree differ in. */
static void clean(struct archive_entry *entry)
{
    const char *name;
    const void *value;
    size_t len;
    struct archive_entry *kept = archive_entry_new();
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK)
        if (str_starts_with(name, "user."))
            archive_entry_xattr_add_entry(kept, name, value, len);
    archive_entry_xattr_clear(entry);
    archive_entry_xattr_reset(kept);
    while (archive_entry_xattr_next(kept, &name, &value, &len) == ARCHIVE_OK)
        archive_entry_xattr_add_entry(entry, name, value, len);
    archive_entry_free(kept);
    if (archive_entry_filetype(entry) == AE_IFREG)
        archive_entry_set_perm(entry, archive_entry_perm(entry) & ~(mode_t)(S_ISUID | S_ISGID));
    else
        archive_entry_unset_size(entry);
    archive_entry_set_mtime(entry, archive_entry_mtime(entry), 0);
    archive_entry_unset_atime(entry);
    archive_entry_unset_ctime(entry);
    archive_entry_unset_birthtime(entry);
}

static bool is_plain(const char *text)
{
    while (text && *text > 0)
        text++;
    return !text || !*text;
}

static int take_entry(struct pack *pack, struct archive_entry *entry, const char *source)
{
    struct archive_entry *spare = NULL;
    archive_entry_linkify(pack->links, &entry, &spare);
    const char *path = archive_entry_pathname(entry);
    clean(entry);
    if (template_entry_check(entry, pack->err) != 0 || tick(pack, path) != 0)
        return -1;
    bool has_data = archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry);
    pack->entries++;
    pack->foreign = pack->foreign || !is_plain(path) || !is_plain(archive_entry_symlink(entry));
    if (pack->counting) {
        pack->bytes += has_data ? archive_entry_size(entry) : 0;
        return 0;
    }
    template_sum_entry(pack->sum, entry);
    if (write_header(pack, entry) != 0)
        return -1;
    return has_data ? write_file(pack, source, path, archive_entry_size(entry)) : 0;
}

/* A file or folder of the tree, or template.json. */
static int take_path(struct pack *pack, const char *source)
{
    struct stat st;
    if (lstat(source, &st) != 0)
        return err_sys(pack->err, ERR_INTERNAL, errno, "%s", source);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
        pack->packed->left_out += pack->counting;
        return 0;
    }
    struct archive_entry *entry = archive_entry_new();
    archive_entry_copy_sourcepath(entry, source);
    archive_entry_copy_pathname(entry, source + strlen(pack->folder) + 1);
    int rc = archive_read_disk_entry_from_file(pack->disk, entry, -1, &st) == ARCHIVE_OK
                 ? take_entry(pack, entry, source)
                 : err_set(pack->err, ERR_INTERNAL, "%s", archive_error_string(pack->disk));
    archive_entry_free(entry);
    return rc;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int take_found(struct pack *pack, const FTSENT *found)
{
    switch (found->fts_info) {
    case FTS_DP:
        return 0;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return err_sys(pack->err, ERR_INTERNAL, found->fts_errno, "%s", found->fts_path);
    default:
        return take_path(pack, found->fts_path);
    }
}

static int walk_tree(struct pack *pack)
{
    char root[PATH_MAX];
    int rc = 0;
    str_format(root, sizeof(root), "%s/" TEMPLATE_ENTRY_ROOT, pack->folder);
    FTS *tree =
        fts_open((char *const[]){root, NULL}, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, by_name);
    if (!tree)
        return err_sys(pack->err, ERR_INTERNAL, errno, "%s", root);
    for (FTSENT *found; rc == 0 && (errno = 0, found = fts_read(tree));)
        rc = take_found(pack, found);
    if (rc == 0 && errno != 0)
        rc = err_sys(pack->err, ERR_INTERNAL, errno, "%s", root);
    fts_close(tree);
    return rc;
}

static int walk(struct pack *pack)
{
    char about[PATH_MAX];
    str_format(about, sizeof(about), "%s/" TEMPLATE_ENTRY_ABOUT, pack->folder);
    pack->entries = pack->bytes = 0;
    pack->links = archive_entry_linkresolver_new();
    archive_entry_linkresolver_set_strategy(pack->links, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED);
    int rc = take_path(pack, about) == 0 ? walk_tree(pack) : -1;
    archive_entry_linkresolver_free(pack->links);
    return rc;
}

static int count(struct pack *pack)
{
    struct template_manifest *manifest = &pack->packed->manifest;
    pack->counting = true;
    if (walk(pack) != 0)
        return -1;
    str_format(manifest->name, sizeof(manifest->name), "%s", pack->name);
    template_architecture(manifest->architecture);
    manifest->entries = pack->entries;
    manifest->bytes = pack->bytes;
    if (manifest->entries > TEMPLATE_ENTRIES_MAX || manifest->bytes > TEMPLATE_BYTES_MAX)
        return err_set(pack->err, ERR_BAD_REQUEST,
                       "it has %lld files with %lld bytes, at most %d with %lld are allowed",
                       (long long)manifest->entries, (long long)manifest->bytes,
                       TEMPLATE_ENTRIES_MAX, (long long)TEMPLATE_BYTES_MAX);
    return 0;
}

static int write_all(struct pack *pack)
{
    const struct template_manifest *manifest = &pack->packed->manifest;
    char sum[TEMPLATE_SUM_HEX + 2];
    cleanup_free char *text = template_manifest_text(manifest);
    pack->counting = false;
    template_sum_data(pack->sum, text, strlen(text));
    if (write_text(pack, TEMPLATE_ENTRY_MANIFEST, text) != 0 || walk(pack) != 0)
        return -1;
    if (pack->entries != manifest->entries || pack->bytes != manifest->bytes)
        return changed(pack, pack->name);
    template_sum_end(pack->sum, pack->packed->sum);
    str_format(sum, sizeof(sum), "%s\n", pack->packed->sum);
    if (write_text(pack, TEMPLATE_ENTRY_SUM, sum) != 0)
        return -1;
    return archive_write_close(pack->archive) == ARCHIVE_OK ? 0 : explain(pack, "its end");
}

/* Attributes in the one form that GNU tar reads, too; a pipe gets no more than a file. Names are
 * bytes, which costs a further header each: only where some are not plain.
 */
static int open_archive(const struct pack *pack, int fd)
{
    const char *charset = pack->foreign ? "BINARY" : NULL;
    if (archive_write_add_filter_zstd(pack->archive) == ARCHIVE_OK &&
        archive_write_set_format_pax_restricted(pack->archive) == ARCHIVE_OK &&
        archive_write_set_format_option(pack->archive, "pax", "xattrheader", "SCHILY") ==
            ARCHIVE_OK &&
        (!charset || archive_write_set_format_option(pack->archive, "pax", "hdrcharset", charset) ==
                         ARCHIVE_OK) &&
        archive_write_set_bytes_in_last_block(pack->archive, 1) == ARCHIVE_OK &&
        archive_write_open_fd(pack->archive, fd) == ARCHIVE_OK)
        return 0;
    return explain(pack, "its beginning");
}

int template_pack(const char *state_dir, const char *name, int fd, template_pack_tick tick_cb,
                  void *data, struct template_packed *packed, struct err *err)
{
    char path[PATH_MAX];
    struct pack pack = {.name = name, .tick = tick_cb, .data = data, .err = err, .packed = packed};
    *packed = (struct template_packed){0};
    if (template_check(state_dir, name, err) != 0)
        return -1;
    if (!template_path(path, sizeof(path), state_dir, name, ""))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", state_dir);
    cleanup_close int folder = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_close int root =
        openat(folder, TEMPLATE_ENTRY_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || root < 0 || flock(root, LOCK_SH | LOCK_NB) != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "%s", path);
    str_format(pack.folder, sizeof(pack.folder), "/proc/self/fd/%d", folder);
    pack.disk = archive_read_disk_new();
    pack.archive = archive_write_new();
    pack.sum = template_sum_create();
    archive_read_disk_set_symlink_physical(pack.disk);
    archive_read_disk_set_behavior(pack.disk, ARCHIVE_READDISK_NO_ACL | ARCHIVE_READDISK_NO_FFLAGS |
                                                  ARCHIVE_READDISK_NO_SPARSE);
    /* Where it knows no other than ASCII, libarchive turns no name into another one. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", NULL);
    locale_t before = uselocale(plain);
    int rc = count(&pack) == 0 && open_archive(&pack, fd) == 0 ? write_all(&pack) : -1;
    if (rc != 0)
        archive_write_fail(pack.archive); /* what is buffered is worth nothing any more */
    archive_write_free(pack.archive);
    archive_read_free(pack.disk);
    template_sum_destroy(pack.sum);
    uselocale(before);
    freelocale(plain);
    return rc;
}
