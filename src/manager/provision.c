#include "provision.h"

#include "../common/fd.h"
#include "../common/locate.h"
#include "../common/log.h"
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
 * prepare.sh, one command a file that differs, start.sh, and check.sh again. Scripts go to `sh -s`
 * through stdin, and so do files, which ssh reads itself. No text of the host or of a caller is
 * ever a part of a command; of the host's answers only names of packages come back into a script,
 * checked.
 */
enum stage { STAGE_CHECK, STAGE_PREPARE, STAGE_COPY, STAGE_START, STAGE_RECHECK };

/* The programs of a worker's host, where they are here, and the command that takes one there. The
 * rename comes last: a worker that runs keeps its old file.
 */
#define TAKE(path, mode)                                                                           \
    "sh -c 'umask 022; cat >" path ".new && chmod " mode " " path ".new && mv -f " path            \
    ".new " path "'"
#define LIBEXEC "/usr/local/libexec/codeland/"
#define SHARE "/usr/local/share/codeland/templates/"
static const struct file {
    const char *name, *built, *installed, *there, *take;
    bool program; /* of the worker: a change asks for its restart */
} files[] = {
    {"codeland", "src/cli", "bin", "/usr/local/bin/codeland",
     TAKE("/usr/local/bin/codeland", "755"), false},
    {"crunner", "src/agent", "libexec/codeland", LIBEXEC "crunner", TAKE(LIBEXEC "crunner", "755"),
     true},
    {"codeland-worker", "src/worker", "libexec/codeland", LIBEXEC "codeland-worker",
     TAKE(LIBEXEC "codeland-worker", "755"), true},
    {"make-rootfs", "templates", "share/codeland/templates", SHARE "make-rootfs",
     TAKE(SHARE "make-rootfs", "755"), false},
    {"base.conf", "templates", "share/codeland/templates", SHARE "base.conf",
     TAKE(SHARE "base.conf", "644"), false},
    {"languages.tar", "languages", "share/codeland", "/usr/local/share/codeland/languages.tar",
     TAKE("/usr/local/share/codeland/languages.tar", "644"), false},
};

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
static bool has_sum(int fd, const char *hash)
{
    struct stat st;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    if (fstat(fd, &st) != 0 || st.st_size == 0)
        return false;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    bool made = EVP_Digest(bytes, (size_t)st.st_size, digest, &len, EVP_sha256(), NULL) == 1;
    munmap(bytes, (size_t)st.st_size);
    for (unsigned i = 0; made && i < len; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
    return made && strcmp(hex, hash) == 0;
}

static void on_sum(const char *there, const char *hash, void *data)
{
    struct task *task = data;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct err err;
        cleanup_close int fd = -1;
        if (strcmp(files[i].there, there) == 0 && (fd = open_file(task, &files[i], &err)) >= 0)
            task->same[i] = has_sum(fd, hash);
    }
}

static void on_line(const char *line, void *data)
{
    struct task *task = data;
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
        next = STAGE_START;
    run(task, next);
}

static void on_done(int status, const struct err *err, void *data)
{
    struct task *task = data;
    struct err why;
    if (err && err->code == ERR_HOST_KEY) {
        strcpy(task->at.host_key, ssh_command_key(task->command));
        strcpy(task->at.host_key_type, ssh_command_key_type(task->command));
    }
    ssh_command_destroy(task->command);
    task->command = NULL;
    if (err) {
        over(task, err);
    } else if (status != 0) {
        if (task->facts.failed[0])
            err_set(&why, ERR_NOT_AVAILABLE, "%s", task->facts.failed);
        else
            err_set(&why, ERR_NOT_AVAILABLE, "%.150s: ended with %d on the host", task->at.step,
                    status);
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
    else
        str_format(task->at.step, sizeof(task->at.step), "%s", steps[stage]);
}

static int run(struct task *task, enum stage stage)
{
    struct err err;
    struct stat st;
    const struct provisioner *provisioner = task->provisioner;
    const struct ssh_place place = {.folder = provisioner->folder, .config = provisioner->config};
    bool copy = stage == STAGE_COPY, look = stage == STAGE_CHECK || stage == STAGE_RECHECK;
    char command[300];
    task->stage = stage;
    name_step(task, stage);
    if (look) {
        task->at.checks_len = 0;
        memset(task->same, 0, sizeof(task->same));
    }
    str_format(command, sizeof(command), "%s%s", !look && task->facts.sudo ? "sudo -n " : "",
               copy ? files[task->file].take : "sh -s");
    cleanup_close int input =
        copy ? open_file(task, &files[task->file], &err) : make_script(task, stage, &err);
    task->size = input >= 0 && copy && fstat(input, &st) == 0 ? st.st_size : 0;
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
                      struct err *err)
{
    struct task *task = find(provisioner, spec->name);
    if (!spec->host[0])
        return err_set(err, ERR_BAD_REQUEST, "ssh: is missing: there is no other host to look at");
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
    task->at.percent = -1;
    run(task, STAGE_CHECK);
    return 0;
}

const struct provision *provisioner_find(struct provisioner *provisioner, const char *name)
{
    struct task *task = find(provisioner, name);
    if (!task)
        return NULL;
    if (task->command && task->stage == STAGE_COPY && task->size > 0)
        task->at.percent = (int)(ssh_command_sent(task->command) * 100 / task->size);
    return &task->at;
}
