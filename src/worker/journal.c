#include "journal.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/json.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_MAX 4096

struct journal {
    char folder[256];
    struct roster *roster;
    bool may_network;
};

static bool entry_path(const struct journal *journal, const char *name, char path[PATH_MAX])
{
    return str_format(path, PATH_MAX, "%s/%s", journal->folder, name);
}

static void forget(const struct journal *journal, const char *container)
{
    char path[PATH_MAX];
    if (entry_path(journal, container, path) && FAULT(JOURNAL_UNLINK, -1, unlink(path)) != 0 &&
        errno != ENOENT)
        log_error("cannot remove a journal entry", LOG_S("path", path),
                  LOG_S("error", strerror(errno)));
}

/* NULL when its path is too long. */
static char *describe(const struct journal *journal, const struct runner *runner,
                      char path[PATH_MAX])
{
    const struct engine *engine = roster_engine(runner->roster);
    cleanup_json json_t *entry = json_pack(
        "{s:s, s:s, s:i, s:s, s:I, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "container",
        runner->spec.name, "name", runner->name, "slot", (int)runner->spec.slot, "template",
        runner->template_name, "stamp", (json_int_t)runner->spec.rootfs_stamp, "kept", runner->kept,
        "manager", runner->manager, "owner", runner->owner, "operations",
        (json_int_t)runner->operations, "pid", (json_int_t)engine->ops->init_pid(runner->handle),
        "disk", (json_int_t)runner->spec.disk_bytes, "inodes", (json_int_t)runner->spec.disk_inodes,
        "networked", runner->spec.networked);
    char *text = json_dumps(entry, JSON_COMPACT);
    if (!text)
        mem_exhausted(); /* all of it came out of JSON, or is ours */
    if (!entry_path(journal, runner->spec.name, path))
        free(steal_ptr(text));
    return text;
}

int journal_update(struct journal *journal, const struct runner *runner, struct err *err)
{
    char path[PATH_MAX];
    cleanup_free char *text = describe(journal, runner, path);
    if (!text)
        err_set(err, ERR_INTERNAL, "path too long: %s", journal->folder);
    else if (fd_replace_file(path, text, strlen(text), 0600, false, err) == 0)
        return 0;
    return err_context(err, "the worker cannot note that it has %s", runner->name);
}

/* An entry that is cut off by the worker's end is refused by the next, so the cheap way will do. A
 * warm runner without one is as good as others; it will not outlive this worker.
 */
static void note_warm(struct journal *journal, const struct runner *runner)
{
    char path[PATH_MAX];
    cleanup_free char *text = describe(journal, runner, path);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    cleanup_close int fd = text ? FAULT(JOURNAL_OPEN, -1, open(path, flags, 0600)) : -1;
    if (fd >= 0 && FAULT(JOURNAL_WRITE, -1, fd_write_all(fd, text, strlen(text))) == 0)
        return;
    log_warn("a runner will not be adopted", LOG_S("runner", runner->name),
             LOG_S("error", strerror(errno)));
    forget(journal, runner->spec.name);
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    struct journal *journal = data;
    struct err err;
    if (runner->state == RUNNER_AVAILABLE)
        note_warm(journal, runner);
    else if (runner->state == RUNNER_IN_USE && from == RUNNER_COOKING) {
        /* It is back, and may have been given to a manager meanwhile. */
        if (journal_update(journal, runner, &err) != 0)
            log_warn("a named runner's entry is old", LOG_S("runner", runner->name), LOG_ERR(&err));
    } else if (runner->state != RUNNER_COOKING && !(runner->state == RUNNER_IN_USE && runner->kept))
        forget(journal, runner->spec.name);
}

struct journal *journal_create(const char *run_dir, struct roster *roster, struct err *err)
{
    struct journal *journal = mem_new(struct journal);
    journal->roster = roster;
    if (!str_format(journal->folder, sizeof(journal->folder), "%s/runners", run_dir))
        err_set(err, ERR_INTERNAL, "path too long: %s", run_dir);
    else if (fd_mkdirs(journal->folder, 0700, err) == 0) {
        roster_observe(roster, on_change, journal);
        return journal;
    }
    free(journal);
    return NULL;
}

void journal_destroy(struct journal *journal)
{
    if (!journal)
        return;
    roster_unobserve(journal->roster, on_change, journal);
    free(journal);
}

static int adopt_entry(const struct journal *journal, const char *file,
                       const struct engine_spec *like, struct err *err)
{
    char path[PATH_MAX], text[ENTRY_MAX];
    if (!entry_path(journal, file, path))
        return err_set(err, ERR_INTERNAL, "path too long");
    ssize_t len = FAULT(JOURNAL_READ, -1, fd_read_file(AT_FDCWD, path, text, sizeof(text)));
    if (len < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    cleanup_json json_t *entry = json_parse_object(text, (size_t)len, false, err);
    const char *container = NULL, *manager = "";
    struct runner_record record = {.owner = ""};
    int64_t slot = 0, stamp = 0, operations = 0, pid = 0, disk = 0, inodes = 0;
    bool networked = false;
    if (!entry || json_get_string(entry, "container", true, &container, NULL, err) != 0 ||
        json_get_string(entry, "name", true, &record.name, NULL, err) != 0 ||
        json_get_string(entry, "template", true, &record.template_name, NULL, err) != 0 ||
        json_get_int(entry, "stamp", false, 0, INT64_MAX, &stamp, err) != 0 ||
        json_get_string(entry, "owner", true, &record.owner, NULL, err) != 0 ||
        json_get_bool(entry, "kept", true, &record.kept, err) != 0 ||
        json_get_string(entry, "manager", false, &manager, NULL, err) != 0 ||
        json_get_bool(entry, "networked", false, &networked, err) != 0 ||
        json_get_int(entry, "slot", true, 0, UINT16_MAX, &slot, err) != 0 ||
        json_get_int(entry, "operations", true, 0, UINT32_MAX, &operations, err) != 0 ||
        json_get_int(entry, "pid", true, 1, INT32_MAX, &pid, err) != 0 ||
        json_get_int(entry, "disk", true, 0, INT64_MAX, &disk, err) != 0 ||
        json_get_int(entry, "inodes", true, 0, INT64_MAX, &inodes, err) != 0)
        return -1;
    if (strcmp(container, file) != 0 || !id_name_valid(container))
        return err_set(err, ERR_INTERNAL, "an entry that we did not write");
    if (!record.kept && (disk != like->disk_bytes || inodes != like->disk_inodes))
        return err_set(err, ERR_INTERNAL, "it was made with another run.disk or run.inodes");
    if (networked && !journal->may_network)
        return err_set(err, ERR_INTERNAL, "it has a network, and network.nat is off now");
    struct engine_spec spec = *like;
    spec.disk_bytes = disk;
    spec.disk_inodes = inodes;
    spec.networked = networked;
    strcpy(spec.name, container);
    spec.slot = (unsigned)slot;
    spec.rootfs_stamp = stamp;
    record.manager = manager;
    record.operations = (uint32_t)operations;
    record.init_pid = (pid_t)pid;
    return roster_adopt(journal->roster, &spec, &record, err) ? 0 : -1;
}

/* It says nothing about an entry. */
static bool is_for_want(int sys_errno)
{
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOMEM;
}

int journal_adopt(struct journal *journal, const struct engine_spec *spec, bool may_network,
                  struct err *err)
{
    journal->may_network = may_network;
    DIR *folder = FAULT(JOURNAL_LIST, NULL, opendir(journal->folder));
    if (!folder)
        return err_sys(err, ERR_INTERNAL, errno, "%s", journal->folder);
    int adopted = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        if (adopt_entry(journal, entry->d_name, spec, err) == 0) {
            adopted++;
            continue;
        }
        if (is_for_want(err->sys_errno)) {
            closedir(folder);
            return -1;
        }
        log_warn("not adopted", LOG_S("runner", entry->d_name), LOG_ERR(err));
        forget(journal, entry->d_name);
    }
    closedir(folder);
    return adopted;
}
