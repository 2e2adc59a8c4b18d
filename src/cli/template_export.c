#include "template_export.h"

#include "process.h"

#include "../common/fd.h"
#include "../common/str.h"
#include "../common/template_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SHOW_EVERY_US (100 * US_PER_MS)

struct work {
    const struct template_export *export;
    struct screen *screen;
    mono_us shown_at;
    struct template_packed packed;
};

static bool on_tick(const char *path, int64_t done, int64_t total, void *data)
{
    struct work *work = data;
    char detail[sizeof(work->screen->detail)];
    mono_us elapsed = screen_elapsed(work->screen);
    if (work->shown_at && elapsed - work->shown_at < SHOW_EVERY_US)
        return true;
    work->shown_at = elapsed;
    str_format(detail, sizeof(detail), "%s %.120s", total > 0 ? "packing" : "counting", path);
    screen_step(work->screen, total > 0 ? (int)(done * 100 / total) : PROGRESS_UNKNOWN, detail);
    return !process_stop_came(work->export->stop_fd);
}

static int pack(struct work *work, int fd, struct err *err)
{
    return template_pack(work->export->state_dir, work->export->name, fd, on_tick, work,
                         &work->packed, err);
}

/* Beside it first; one that an earlier export left is of no use to anybody. */
static int pack_into_file(struct work *work, const char *path, struct err *err)
{
    char part[PATH_MAX];
    if (!str_format(part, sizeof(part), "%s.part", path))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", path);
    unlink(part);
    cleanup_close int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", part);
    int rc = pack(work, fd, err);
    if (rc == 0 && fsync(fd) != 0)
        rc = err_sys(err, errno == ENOSPC ? ERR_NO_SPACE : ERR_INTERNAL, errno, "%s", part);
    if (rc == 0 && rename(part, path) != 0)
        rc = err_sys(err, ERR_INTERNAL, errno, "%s", path);
    if (rc != 0)
        unlink(part);
    return rc;
}

static void report(const struct work *work, const char *path)
{
    const struct template_packed *packed = &work->packed;
    char took[24], left[80] = "";
    progress_duration(took, sizeof(took), screen_elapsed(work->screen));
    if (packed->left_out > 0)
        str_format(left, sizeof(left), "; %lld devices, sockets and pipes were left out",
                   (long long)packed->left_out);
    screen_done(work->screen, "%s, %.0f MB, %lld files, exported to %s in %s%s; sum %s",
                work->export->name, (double)packed->manifest.bytes / 1e6,
                (long long)packed->manifest.entries, path, took, left, packed->sum);
}

int template_export(const struct template_export *export, struct screen *screen, struct err *err)
{
    char own[NAME_MAX_LEN + 16];
    struct work work = {.export = export, .screen = screen};
    const char *path = export->path ? export->path : own;
    if (geteuid() != 0)
        return err_set(err, ERR_FORBIDDEN, "exporting a template needs root; use sudo");
    if (!id_name_valid(export->name))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no template's name", export->name);
    str_format(own, sizeof(own), "%s.tar.zst", export->name);
    if (strcmp(path, "-") != 0) {
        if (pack_into_file(&work, path, err) != 0)
            return -1;
    } else if (isatty(STDOUT_FILENO)) {
        return err_set(err, ERR_BAD_REQUEST, "an archive is nothing for a terminal; name a file");
    } else if (pack(&work, STDOUT_FILENO, err) != 0) {
        return -1;
    }
    report(&work, strcmp(path, "-") == 0 ? "stdout" : path);
    return 0;
}
