#include "template_import.h"

#include "confine.h"
#include "process.h"
#include "template_about.h"
#include "template_disk.h"
#include "template_place.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/str.h"
#include "../common/template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* How it works. The child reads the archive and writes the tree, in a root that is the new folder;
 * of root's rights it has those over files. It sends notes of one size through a pipe: how far it
 * is, and last how it ended. The parent believes of them what it has checked itself.
 */
#define FRESH "import.new" /* no template's name, and swept as what a build has left */
#define PIECE_BYTES 65536
#define NOTE_EVERY_US (100 * US_PER_MS)
#define TAIL_MAX                                                                                   \
    (1024 * 1024) /* what may follow an archive: a tar is filled up to its last block */

#define RIGHTS                                                                                     \
    (UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_FOWNER |      \
     UINT64_C(1) << CAP_FSETID)

/* Smaller than PIPE_BUF: it comes whole. */
struct note {
    enum { NOTE_PROGRESS, NOTE_FAILED, NOTE_DONE } kind;
    int percent;
    struct template_unpacked unpacked;
    struct err err;
    char path[256];
};

/* ---- the child ------------------------------------------------------------------------------ */

struct unpacker {
    struct template_disk *disk;
    struct template_unpacked unpacked;
    struct note note;
    mono_us told_at;
    char piece[PIECE_BYTES];
};

static void tell(struct unpacker *unpacker)
{
    if (fd_write_all(CONFINE_OUTPUT, &unpacker->note, sizeof(unpacker->note)) != 0)
        _exit(CONFINE_FAILED); /* nobody is left to finish it */
}

static void tell_progress(struct unpacker *unpacker)
{
    mono_us now = clock_now(&clock_system);
    const struct template_unpacked *at = &unpacker->unpacked;
    if (unpacker->told_at && now - unpacker->told_at < NOTE_EVERY_US)
        return;
    unpacker->told_at = now;
    unpacker->note.kind = NOTE_PROGRESS;
    unpacker->note.percent =
        at->manifest.bytes ? (int)(at->bytes * 100 / at->manifest.bytes) : PROGRESS_UNKNOWN;
    tell(unpacker);
}

static int on_manifest(const struct template_manifest *manifest, void *data, struct err *err)
{
    struct unpacker *unpacker = data;
    return template_disk_sink.manifest(manifest, unpacker->disk, err);
}

static int on_entry(struct archive_entry *entry, void *data, struct err *err)
{
    struct unpacker *unpacker = data;
    size_t len;
    const char *path = template_entry_path(entry, &len);
    str_format(unpacker->note.path, sizeof(unpacker->note.path), "%s", path);
    tell_progress(unpacker);
    return template_disk_sink.entry(entry, unpacker->disk, err);
}

static int on_bytes(const void *bytes, size_t len, void *data, struct err *err)
{
    struct unpacker *unpacker = data;
    tell_progress(unpacker);
    return template_disk_sink.bytes(bytes, len, unpacker->disk, err);
}

static const struct template_unpack_sink sink = {
    .manifest = on_manifest, .entry = on_entry, .bytes = on_bytes};

static ssize_t read_piece(void *data, const void **piece)
{
    struct unpacker *unpacker = data;
    ssize_t got;
    *piece = unpacker->piece;
    do
        got = read(STDIN_FILENO, unpacker->piece, sizeof(unpacker->piece));
    while (got < 0 && errno == EINTR);
    return got;
}

/* Who writes it into a pipe must be able to end. */
static int read_tail(struct unpacker *unpacker, struct err *err)
{
    const void *piece;
    ssize_t got;
    for (int64_t rest = TAIL_MAX; (got = read_piece(unpacker, &piece)) > 0;)
        if ((rest -= got) < 0)
            return err_set(err, ERR_BAD_REQUEST, "more than %d bytes follow the archive", TAIL_MAX);
    return 0;
}

static int unpack(struct unpacker *unpacker, struct err *err)
{
    cleanup_close int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(err, ERR_INTERNAL, errno, "the new folder");
    unpacker->disk = template_disk_create(root);
    int rc = -1;
    if (template_unpack(read_piece, &sink, unpacker, &unpacker->unpacked, err) == 0 &&
        template_disk_end(unpacker->disk, err) == 0)
        rc = read_tail(unpacker, err);
    template_disk_destroy(unpacker->disk);
    return rc;
}

static int run(void *data)
{
    struct unpacker *unpacker = data;
    umask(0);
    struct err err = {0};
    int rc = unpack(unpacker, &err);
    unpacker->note.kind = rc == 0 ? NOTE_DONE : NOTE_FAILED;
    unpacker->note.unpacked = unpacker->unpacked;
    unpacker->note.err = err;
    tell(unpacker);
    return rc == 0 ? 0 : 1;
}

/* ---- the parent ----------------------------------------------------------------------------- */

struct work {
    const struct template_import *import;
    struct screen *screen;
    char fresh[PATH_MAX], target[PATH_MAX], name[NAME_MAX_LEN + 1];
    struct note last;
};

static void show(struct work *work, const struct note *note)
{
    char detail[sizeof(work->screen->detail)];
    if (note->kind != NOTE_PROGRESS)
        return;
    str_format(detail, sizeof(detail), "unpacking %.120s", note->path);
    screen_step(work->screen, note->percent < 100 ? note->percent : 99, detail);
}

/* Until nobody holds the other end; the last note stays in work. */
static int follow(struct work *work, pid_t pid, int notes, struct err *err)
{
    bool stopped = false;
    struct pollfd fds[] = {{.fd = notes, .events = POLLIN},
                           {.fd = work->import->stop_fd, .events = POLLIN}};
    for (ssize_t got = 1; got != 0;) {
        if (poll(fds, 2, 100) < 0 && errno != EINTR)
            abort();
        if (fds[1].revents && !stopped) {
            stopped = true;
            fds[1].fd = -1;
            kill(pid, SIGKILL);
        }
        while ((got = read(notes, &work->last, sizeof(work->last))) == sizeof(work->last)) {
            work->last.path[sizeof(work->last.path) - 1] = '\0';
            work->last.err.msg[sizeof(work->last.err.msg) - 1] = '\0';
            show(work, &work->last);
        }
        screen_tick(work->screen);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (stopped)
        return err_set(err, ERR_TIMED_OUT, "interrupted; nothing was changed");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && work->last.kind == NOTE_DONE)
        return 0;
    if (work->last.kind == NOTE_FAILED && work->last.err.msg[0]) {
        *err = work->last.err;
        return -1;
    }
    char how[64];
    process_describe(status, how, sizeof(how));
    return err_set(err, ERR_INTERNAL, "the process that unpacks it failed: %s", how);
}

static int open_input(const struct template_import *import, struct err *err)
{
    bool from_stdin = strcmp(import->path, "-") == 0;
    if (from_stdin && isatty(STDIN_FILENO))
        return err_set(err, ERR_BAD_REQUEST, "stdin is a terminal, and no archive");
    int fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                        : open(import->path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(err, ERR_NOT_FOUND, errno, "%s", import->path);
}

static int unpack_beside(struct work *work, struct err *err)
{
    static struct unpacker unpacker; /* the child's, from here */
    int notes[2];
    cleanup_close int input = open_input(work->import, err);
    if (input < 0)
        return -1;
    if (pipe2(notes, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "pipe");
    fd_set_nonblock(notes[0], true);
    const struct confine_spec spec = {.folder = work->fresh,
                                      .input = input,
                                      .output = notes[1],
                                      .keep = RIGHTS,
                                      .run = run,
                                      .data = &unpacker};
    pid_t pid = confine_start(&spec, err);
    close(notes[1]);
    int rc = pid < 0 ? -1 : follow(work, pid, notes[0], err);
    close(notes[0]);
    return rc;
}

/* It says the name that it has here. */
static int rename_it(struct work *work, struct err *err)
{
    char path[PATH_MAX];
    str_format(work->name, sizeof(work->name), "%s",
               work->import->as ? work->import->as : work->last.unpacked.manifest.name);
    if (!id_name_valid(work->name) ||
        !template_path(work->target, sizeof(work->target), work->import->state_dir, work->name,
                       "") ||
        !str_format(path, sizeof(path), "%s/template.json", work->fresh))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no template's name", work->name);
    cleanup_json json_t *about = template_read_json(path, err);
    if (!about)
        return err_context(err, "the archive is no whole template");
    const char *said = json_string_value(json_object_get(about, "name"));
    if (said && strcmp(said, work->name) == 0)
        return 0;
    json_object_set_new(about, "name", json_string(work->name));
    return template_write(path, about, err);
}

static int check(const struct work *work, struct err *err)
{
    if (template_check_folder(work->fresh, err) == 0)
        return 0;
    return err_context(err, "the archive is no whole template");
}

static int import_locked(struct work *work, int templates, struct err *err)
{
    if (fd_remove_tree(work->fresh, err) != 0 ||
        fd_mkdirs(work->fresh, TEMPLATE_PLACE_MODE, err) != 0)
        return -1;
    if (unpack_beside(work, err) == 0) {
        screen_step(work->screen, 99, "writing it to the disk");
        if (rename_it(work, err) == 0 && check(work, err) == 0 &&
            template_place_put(work->fresh, work->target, templates, err) == 0)
            return 0;
    }
    fd_remove_tree(work->fresh, NULL);
    return -1;
}

int template_import(const struct template_import *import, struct screen *screen, struct err *err)
{
    static struct work work; /* too large for a stack */
    work = (struct work){.import = import, .screen = screen};
    if (geteuid() != 0)
        return err_set(err, ERR_FORBIDDEN, "making a template needs root; use sudo");
    if (import->as && !id_name_valid(import->as))
        return err_set(err, ERR_BAD_REQUEST,
                       "\"%.60s\" is no template's name: a letter a-z, then letters, digits and -",
                       import->as);
    if (!template_path(work.fresh, sizeof(work.fresh), import->state_dir, FRESH, ""))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", import->state_dir);
    cleanup_close int templates = template_place_lock(import->state_dir, err);
    if (templates < 0)
        return -1;
    template_place_sweep(import->state_dir);
    if (import_locked(&work, templates, err) != 0)
        return -1;
    const struct template_unpacked *got = &work.last.unpacked;
    char took[24];
    progress_duration(took, sizeof(took), screen_elapsed(screen));
    screen_done(screen, "%s, %.0f MB, %lld files, imported in %s; sum %.64s", work.name,
                (double)got->bytes / 1e6, (long long)got->entries, took, got->sum);
    return 0;
}
