#include "template_disk.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define MB 1000000

struct template_disk {
    int root;
    struct archive *archive;
    char path[PATH_MAX]; /* of the entry that is open, "" for none */
};

struct template_disk *template_disk_create(int root)
{
    struct template_disk *disk = mem_new(struct template_disk);
    disk->root = root;
    disk->archive = archive_write_disk_new();
    if (!disk->archive)
        mem_exhausted();
    archive_write_disk_set_options(
        disk->archive, ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                           ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_NO_AUTODIR |
                           ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                           ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
    return disk;
}

void template_disk_destroy(struct template_disk *disk)
{
    if (!disk)
        return;
    archive_write_free(disk->archive);
    free(disk);
}

static int explain(const struct template_disk *disk, struct err *err)
{
    int sys_errno = archive_errno(disk->archive);
    if (sys_errno == ENOSPC || sys_errno == EDQUOT)
        return err_sys(err, ERR_NO_SPACE, sys_errno, "%s", disk->path);
    const char *why = archive_error_string(disk->archive);
    return err_set(err, ERR_INTERNAL, "%s: %s", disk->path, why ? why : "cannot be written");
}

/* A manifest that tells too little is found out by the disk. */
static int on_manifest(const struct template_manifest *manifest, void *data, struct err *err)
{
    const struct template_disk *disk = data;
    struct statvfs st;
    if (fstatvfs(disk->root, &st) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot tell the room that is left");
    uint64_t room = (uint64_t)st.f_bavail * st.f_frsize;
    if ((uint64_t)manifest->bytes > room)
        return err_set(err, ERR_NO_SPACE, "it needs %lld MB, and the disk has room for %lld MB",
                       (long long)(manifest->bytes / MB), (long long)(room / MB));
    if (st.f_files > 0 && (uint64_t)manifest->entries > st.f_favail)
        return err_set(err, ERR_NO_SPACE, "it has %lld files, and the disk has room for %lld",
                       (long long)manifest->entries, (long long)st.f_favail);
    return 0;
}

/* No link is followed on the way there. */
static int open_inside(const struct template_disk *disk, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, disk->root, path, &how, sizeof(how));
}

static int check_free(const struct template_disk *disk, struct err *err)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(disk->path, '/');
    struct stat st;
    if (slash)
        str_format(folder, sizeof(folder), "%.*s", (int)(slash - disk->path), disk->path);
    cleanup_close int fd = open_inside(disk, folder, O_DIRECTORY);
    if (fd < 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "\"%s\" is not in a folder that came before it, and a link is none",
                       disk->path);
    if (fstatat(fd, slash ? slash + 1 : disk->path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_BAD_REQUEST, "\"%s\" is there twice", disk->path);
    return errno == ENOENT ? 0 : err_sys(err, ERR_INTERNAL, errno, "%s", disk->path);
}

static int check_target(const struct template_disk *disk, const char *target, struct err *err)
{
    struct stat st;
    cleanup_close int fd = open_inside(disk, target, 0);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_BAD_REQUEST,
                       "\"%s\" is a further name of \"%.200s\", which is no file that came before",
                       disk->path, target);
    return 0;
}

static int end_entry(struct template_disk *disk, struct err *err)
{
    if (disk->path[0] && archive_write_finish_entry(disk->archive) != ARCHIVE_OK)
        return explain(disk, err);
    disk->path[0] = '\0';
    return 0;
}

/* Of a further name of a file only the name counts. */
static int link_file(struct template_disk *disk, const char *target, struct err *err)
{
    if (check_target(disk, target, err) != 0)
        return -1;
    struct archive_entry *entry = archive_entry_new();
    archive_entry_copy_pathname(entry, disk->path);
    archive_entry_copy_hardlink(entry, target);
    int rc = archive_write_header(disk->archive, entry);
    archive_entry_free(entry);
    return rc == ARCHIVE_OK ? 0 : explain(disk, err);
}

static int on_entry(struct archive_entry *entry, void *data, struct err *err)
{
    struct template_disk *disk = data;
    size_t len;
    if (end_entry(disk, err) != 0)
        return -1;
    const char *path = template_entry_path(entry, &len);
    str_format(disk->path, sizeof(disk->path), "%.*s", (int)len, path);
    if (check_free(disk, err) != 0)
        return -1;
    const char *target = archive_entry_hardlink(entry);
    if (target)
        return link_file(disk, target, err);
    return archive_write_header(disk->archive, entry) == ARCHIVE_OK ? 0 : explain(disk, err);
}

static int on_bytes(const void *bytes, size_t len, void *data, struct err *err)
{
    struct template_disk *disk = data;
    la_ssize_t written = archive_write_data(disk->archive, bytes, len);
    return written == (la_ssize_t)len ? 0 : explain(disk, err);
}

const struct template_unpack_sink template_disk_sink = {
    .manifest = on_manifest, .entry = on_entry, .bytes = on_bytes};

int template_disk_end(struct template_disk *disk, struct err *err)
{
    if (end_entry(disk, err) != 0)
        return -1;
    return archive_write_close(disk->archive) == ARCHIVE_OK ? 0 : explain(disk, err);
}
