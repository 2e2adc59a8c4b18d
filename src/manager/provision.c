#include "provision.h"

#include "../common/fd.h"
#include "../common/locate.h"
#include "../common/log.h"
#include "../common/mask.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "host_scripts.h"
#include "provision_line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* How it works. A task is a row of ssh commands, one after the other: check.sh; for an installation
 * prepare.sh, one command a file that differs, the import of a template that is to be sent,
 * start.sh, and check.sh again. Scripts go to `sh -s` through stdin, and so do files, which ssh
 * reads itself. No text of the host or of a caller is ever a part of a command but for a template's
 * name; of the host's answers only names of packages come back into a script. Both are checked.
 */
enum stage { STAGE_CHECK, STAGE_PREPARE, STAGE_COPY, STAGE_TEMPLATE, STAGE_START, STAGE_RECHECK };

/* What a worker's host has of ours: where it is here, and there. */
#define LIBEXEC "/usr/local/libexec/codeland/"
#define SHARE "/usr/local/share/codeland/"
static const struct file {
    const char *name, *built, *installed, *there, *mode;
    bool program; /* of the worker: a change asks for its restart */
} files[] = {
    {"codeland", "src/cli", "bin", "/usr/local/bin/codeland", "755", false},
    {"crunner", "src/agent", "libexec/codeland", LIBEXEC "crunner", "755", true},
    {"codeland-worker", "src/worker", "libexec/codeland", LIBEXEC "codeland-worker", "755", true},
    {"codeland.apparmor", "src/worker", "libexec/codeland", LIBEXEC "codeland.apparmor", "644",
     true},
    {"make-rootfs", "templates", "share/codeland/templates", SHARE "templates/make-rootfs", "755",
     false},
    {"base.conf", "templates", "share/codeland/templates", SHARE "templates/base.conf", "644",
     false},
    {"languages.tar", "languages", "share/codeland", SHARE "languages.tar", "644", false},
};

/* Takes a file there: its path, mode, SHA-256 and path. One that comes incomplete, because the
 * connection or the room on the disk ended, is dropped. The rename comes last: a worker that runs
 * keeps its old file, and of two managers that do the same each does it wholly.
 */
#define TAKE                                                                                       \
    "%ssh -c 'umask 022; new=$(mktemp %s.XXXXXX) && cat >$new && chmod %s $new && "                \
    "echo \"%s  $new\" | sha256sum -c --status - && mv -f $new %s || { rm -f $new; exit 1; }'"

struct task {
    struct provision at;
    struct provisioner *provisioner;
    struct provision_facts facts;
    enum stage stage;
    struct ssh_command *command;
    bool same[ARRAY_LEN(files)]; /* the host has this very file */
    bool changed;
    size_t file; /* of STAGE_COPY */
    off_t size;
    struct task *next;
};

struct provisioner {
    uv_loop_t *loop;
    char *folder, *config, *self;
    struct task *tasks;
    size_t count;
    struct listeners listeners;
};

static int run(struct task *task, enum stage stage);

static void over(struct task *task, const struct err *err)
{
    ssh_command_destroy(task->command);
    task->command = NULL;
    task->at.percent = -1;
    task->at.state = err ? PROVISION_FAILED : PROVISION_READY;
    task->at.err = err ? *err : (struct err){0};
    if (err)
        log_warn("worker host not ready", LOG_S("worker", task->at.spec.name), LOG_ERR(err));
    else
        log_info("worker host ready", LOG_S("worker", task->at.spec.name));
    listeners_tell(&task->provisioner->listeners);
}

static int open_file(const struct task *task, const struct file *file, struct err *err)
{
    char path[PATH_MAX];
    if (locate_file(path, task->provisioner->self, file->built, file->installed, file->name, err) !=
        0)
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(err, ERR_INTERNAL, errno, "%s", path);
}

/* Files of a few megabytes, seen seldom: the loop waits some milliseconds. */
static bool make_sum(int fd, char hex[PROVISION_SUM_LEN + 1])
{
    struct stat st;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (fstat(fd, &st) != 0 || st.st_size == 0)
        return false;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    bool made = EVP_Digest(bytes, (size_t)st.st_size, digest, &len, EVP_sha256(), NULL) == 1;
    munmap(bytes, (size_t)st.st_size);
    for (unsigned i = 0; made && i < len; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    return made && len == PROVISION_SUM_LEN / 2;
}

static void on_sum(const char *there, const char *hash, void *data)
{
    struct task *task = data;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct err err;
        char ours[PROVISION_SUM_LEN + 1];
        cleanup_close int fd = -1;
        if (strcmp(files[i].there, there) == 0 && (fd = open_file(task, &files[i], &err)) >= 0)
            task->same[i] = make_sum(fd, ours) && strcmp(ours, hash) == 0;
    }
}

static void on_line(const char *line, void *data)
{
    struct task *task = data;
    if (task->stage == STAGE_TEMPLATE) /* its last line says how it ended */
        mask_secrets(line, task->facts.failed, sizeof(task->facts.failed));
    else
        provision_line(&task->at, &task->facts, line, on_sum, task);
}

/* Says in the worker's check that it should be installed again. */
static void note_other_program(struct task *task)
{
    for (size_t i = 0; i < task->at.checks_len; i++) {
        struct provision_check *check = &task->at.checks[i];
        bool same = true;
        for (size_t k = 0; k < ARRAY_LEN(files); k++)
            same &= !files[k].program || task->same[k];
        if (strcmp(check->name, "worker") != 0 || strcmp(check->level, "ok") != 0 || same)
            continue;
        strcpy(check->level, "warn");
        str_format(check->fix, sizeof(check->fix), "codeland worker doctor %s --install",
                   task->at.spec.name);
        str_format(check->text, sizeof(check->text),
                   "a worker listens, and its program is not the manager's (%s)", CODELAND_VERSION);
    }
}

/* err is set to the first thing that is in the way. */
static int judge(struct task *task, bool fixable, struct err *err)
{
    const struct provision_check *bad = provision_obstacle(&task->at, fixable);
    if (task->at.checks_len == 0)
        return err_set(err, ERR_BAD_GATEWAY, "the host did not answer the check");
    note_other_program(task);
    if (bad)
        return err_set(err, ERR_NOT_AVAILABLE, "%s: %.120s%s%.80s", bad->name, bad->text,
                       bad->fix[0] ? "; to mend it: " : "", bad->fix);
    return 0;
}

static enum stage after_check(const struct task *task)
{
    return task->at.install ? STAGE_PREPARE : STAGE_RECHECK;
}

/* The next stage, or the end. */
static void go_on(struct task *task)
{
    struct err err;
    enum stage next = STAGE_COPY;
    switch (task->stage) {
    case STAGE_CHECK:
        if (judge(task, task->at.install, &err) != 0) {
            over(task, &err);
            return;
        }
        next = after_check(task);
        if (next == STAGE_RECHECK) {
            over(task, NULL);
            return;
        }
        break;
    case STAGE_PREPARE:
        task->file = 0;
        break;
    case STAGE_COPY:
        task->changed |= files[task->file].program;
        task->file++;
        break;
    case STAGE_TEMPLATE:
        task->facts.failed[0] = '\0';
        next = STAGE_START;
        break;
    case STAGE_START:
        next = STAGE_RECHECK;
        break;
    case STAGE_RECHECK:
        over(task, judge(task, false, &err) == 0 ? NULL : &err);
        return;
    }
    while (next == STAGE_COPY && task->file < ARRAY_LEN(files) && task->same[task->file])
        task->file++;
    if (next == STAGE_COPY && task->file == ARRAY_LEN(files))
        next = task->at.template_name[0] ? STAGE_TEMPLATE : STAGE_START;
    run(task, next);
}

/* A script's own words, or the last of the command that failed. */
static void explain(const struct task *task, int status, const char *last_line, struct err *err)
{
    if (task->facts.failed[0] && task->stage == STAGE_TEMPLATE)
        err_set(err, ERR_NOT_AVAILABLE, "%.100s: %.200s", task->at.step, task->facts.failed);
    else if (task->facts.failed[0])
        err_set(err, ERR_NOT_AVAILABLE, "%s", task->facts.failed);
    else if (last_line[0])
        err_set(err, ERR_NOT_AVAILABLE,
                "%.100s: %.150s; mend that there, then: codeland worker doctor %s --install",
                task->at.step, last_line, task->at.spec.name);
    else
        err_set(err, ERR_NOT_AVAILABLE, "%.150s: ended with %d on the host", task->at.step, status);
}

static void on_done(int status, const struct err *err, void *data)
{
    struct task *task = data;
    struct err why;
    if (!err && status != 0)
        explain(task, status, ssh_command_last_line(task->command), &why);
    if (err && err->code == ERR_HOST_KEY) {
        strcpy(task->at.host_key, ssh_command_key(task->command));
        strcpy(task->at.host_key_type, ssh_command_key_type(task->command));
    }
    ssh_command_destroy(task->command);
    task->command = NULL;
    if (err) {
        over(task, err);
    } else if (status != 0) {
        over(task, &why);
    } else {
        go_on(task);
    }
}

static const struct ssh_command_ops command_ops = {.on_line = on_line, .on_done = on_done};

/* A script and the settings in front of it, as a file that ssh can read. */
static int make_script(const struct task *task, enum stage stage, struct err *err)
{
    cleanup_close int fd = memfd_create("script", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, errno, "memfd_create");
    const char *script = host_check;
    if (stage == STAGE_PREPARE) {
        script = host_prepare;
        dprintf(fd, "missing='%s'\n", task->facts.missing);
    } else if (stage == STAGE_START) {
        script = host_start;
        dprintf(fd, "changed=%d\n", task->changed);
    } else {
        struct utsname name;
        uname(&name);
        dprintf(fd, "now=%lld\narch='%s'\npackages='%s'\nfiles='",
                (long long)(clock_wall_ms() / 1000), name.machine, host_packages);
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
            dprintf(fd, "%s%s", i ? " " : "", files[i].there);
        dprintf(fd, "'\n");
    }
    if (fd_write_all(fd, script, strlen(script)) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "write a script");
    return steal_fd(&fd);
}

static void name_step(struct task *task, enum stage stage)
{
    static const char *const steps[] = {
        [STAGE_CHECK] = "checking the host",
        [STAGE_PREPARE] = "preparing the host",
        [STAGE_START] = "starting the worker",
        [STAGE_RECHECK] = "checking the host again",
    };
    if (stage == STAGE_COPY)
        str_format(task->at.step, sizeof(task->at.step), "copying %s", files[task->file].name);
    else if (stage == STAGE_TEMPLATE)
        str_format(task->at.step, sizeof(task->at.step), "sending the template %s",
                   task->at.template_name);
    else
        str_format(task->at.step, sizeof(task->at.step), "%s", steps[stage]);
}

static int open_template(struct task *task, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (!str_format(path, sizeof(path), "%s/%s.template", task->provisioner->folder,
                    task->at.spec.name))
        return err_set(err, ERR_INTERNAL, "the path of the template's archive is too long");
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, ERR_BAD_REQUEST, errno, "sendTemplate: the archive %s", path);
    task->size = st.st_size;
    return steal_fd(&fd);
}

/* The command of a stage, and the file that becomes its input; -1 with err. */
static int make_command(struct task *task, enum stage stage, char *command, size_t room,
                        struct err *err)
{
    bool look = stage == STAGE_CHECK || stage == STAGE_RECHECK;
    const char *sudo = !look && task->facts.sudo ? "sudo -n " : "";
    const struct file *file = &files[task->file];
    struct stat st;
    char sum[PROVISION_SUM_LEN + 1];
    task->size = 0;
    if (stage == STAGE_TEMPLATE) {
        str_format(command, room, "%s/usr/local/bin/codeland template import - --as %s", sudo,
                   task->at.template_name);
        return open_template(task, err);
    }
    if (stage != STAGE_COPY) {
        str_format(command, room, "%ssh -s", sudo);
        return make_script(task, stage, err);
    }
    cleanup_close int fd = open_file(task, file, err);
    if (fd < 0)
        return -1;
    if (!make_sum(fd, sum) || fstat(fd, &st) != 0)
        return err_set(err, ERR_INTERNAL, "cannot read %s", file->name);
    task->size = st.st_size;
    str_format(command, room, TAKE, sudo, file->there, file->mode, sum, file->there);
    return steal_fd(&fd);
}

static int run(struct task *task, enum stage stage)
{
    struct err err;
    const struct provisioner *provisioner = task->provisioner;
    const struct ssh_place place = {.folder = provisioner->folder, .config = provisioner->config};
    char command[600];
    task->stage = stage;
    name_step(task, stage);
    if (stage == STAGE_CHECK || stage == STAGE_RECHECK) {
        task->at.checks_len = 0;
        memset(task->same, 0, sizeof(task->same));
    }
    cleanup_close int input = make_command(task, stage, command, sizeof(command), &err);
    if (input >= 0)
        task->command = ssh_command_start(provisioner->loop, &task->at.spec, &place, command,
                                          steal_fd(&input), &command_ops, task, &err);
    if (!task->command)
        over(task, &err);
    return task->command ? 0 : -1;
}

struct provisioner *provisioner_create(uv_loop_t *loop, const struct ssh_place *place,
                                       const char *self)
{
    struct provisioner *provisioner = mem_new(struct provisioner);
    provisioner->loop = loop;
    provisioner->folder = mem_strdup(place->folder);
    provisioner->config = mem_strdup(place->config);
    provisioner->self = mem_strdup(self);
    return provisioner;
}

void provisioner_destroy(struct provisioner *provisioner)
{
    if (!provisioner)
        return;
    for (struct task *task = provisioner->tasks, *next; task; task = next) {
        next = task->next;
        ssh_command_destroy(task->command);
        free(task);
    }
    free(provisioner->folder);
    free(provisioner->config);
    free(provisioner->self);
    free(provisioner);
}

static struct task *find(struct provisioner *provisioner, const char *name)
{
    struct task *task = provisioner->tasks;
    while (task && strcmp(task->at.spec.name, name) != 0)
        task = task->next;
    return task;
}

int provisioner_start(struct provisioner *provisioner, const struct worker_spec *spec, bool install,
                      const char *template_name, struct err *err)
{
    struct task *task = find(provisioner, spec->name);
    if (!spec->host[0])
        return err_set(err, ERR_BAD_REQUEST, "ssh: is missing: there is no other host to look at");
    if (template_name[0] && (!install || !id_name_valid(template_name)))
        return err_set(err, ERR_BAD_REQUEST,
                       install ? "sendTemplate: \"%.60s\" is no template's name"
                               : "sendTemplate: \"%.60s\" is sent with install alone",
                       template_name);
    if (task && task->at.state == PROVISION_RUNNING)
        return err_set(err, ERR_NAME_TAKEN, "%s is being looked at already: %.150s", spec->name,
                       task->at.step);
    if (!task && provisioner->count == PROVISION_TASKS_MAX)
        return err_set(err, ERR_NOT_AVAILABLE, "more than %d hosts", PROVISION_TASKS_MAX);
    if (!task) {
        task = mem_new(struct task);
        task->next = provisioner->tasks;
        provisioner->tasks = task;
        provisioner->count++;
    }
    struct task *next = task->next;
    *task = (struct task){.provisioner = provisioner, .next = next};
    task->at.spec = *spec;
    task->at.install = install;
    str_format(task->at.template_name, sizeof(task->at.template_name), "%s", template_name);
    task->at.percent = -1;
    run(task, STAGE_CHECK);
    return 0;
}

void provisioner_listen(struct provisioner *provisioner, struct listener *listener)
{
    listeners_add(&provisioner->listeners, listener);
}

void provisioner_unlisten(struct provisioner *provisioner, struct listener *listener)
{
    listeners_remove(&provisioner->listeners, listener);
}

const struct provision *provisioner_find(struct provisioner *provisioner, const char *name)
{
    struct task *task = find(provisioner, name);
    if (!task)
        return NULL;
    if (task->command && (task->stage == STAGE_COPY || task->stage == STAGE_TEMPLATE) &&
        task->size > 0)
        task->at.percent = (int)(ssh_command_sent(task->command) * 100 / task->size);
    return &task->at;
}
