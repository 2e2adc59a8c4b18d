#include "template_build.h"

#include "../common/inifile.h"
#include "../common/locate.h"
#include "lines.h"
#include "process.h"
#include "recipe.h"
#include "template_about.h"
#include "template_place.h"
#include "template_progress.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define OS_RELEASE "/etc/os-release"
#define MMDEBSTRAP "/usr/bin/mmdebstrap"
#define FACT "codeland: "

/* A build in progress. */
struct work {
    const struct template_build *build;
    struct screen *screen;
    char script[PATH_MAX];
    struct recipe recipe;
    struct languages *languages;
    char suite[64], system[64], script_digest[17];
    char fresh[PATH_MAX], target[PATH_MAX], log_path[PATH_MAX];
    int log;
    struct template_progress progress;
    /* What the script told about its result. */
    json_t *packages;
    char architecture[32];
    int64_t size_bytes;
};

#define BUILT "templates"
#define INSTALLED "share/codeland/templates"

/* FNV-1a: it tells an edited script from the one that was used, no more. */
static int digest_file(char digest[17], const char *path, struct err *err)
{
    cleanup_free char *text = inifile_read(path, err);
    uint64_t hash = 0xcbf29ce484222325;
    if (!text)
        return -1;
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
    str_format(digest, 17, "%016" PRIx64, hash);
    return 0;
}

static int find_recipe(struct work *work, struct err *err)
{
    char file[NAME_MAX_LEN + 8], path[PATH_MAX];
    const struct template_build *build = work->build;
    if (!id_name_valid(build->name) || !str_format(file, sizeof(file), "%s.conf", build->name))
        return err_set(err, ERR_BAD_REQUEST,
                       "\"%.60s\" is no template's name: a letter a-z, then letters, digits and -",
                       build->name);
    if (locate_file(work->script, build->self, BUILT, INSTALLED, "make-rootfs", err) != 0)
        return -1;
    if (locate_file(path, build->self, BUILT, INSTALLED, file, err) != 0)
        return err_set(err, ERR_NOT_FOUND, "there is no recipe for it: no %s beside %s", file,
                       work->script);
    if (recipe_read(&work->recipe, path, err) != 0)
        return -1;
    work->languages = languages_load_configured(build->config, err);
    if (!work->languages ||
        recipe_add_languages(&work->recipe, build->name, work->languages, err) != 0)
        return -1;
    return digest_file(work->script_digest, work->script, err);
}

static int prepare(struct work *work, struct err *err)
{
    const struct template_build *build = work->build;
    if (geteuid() != 0)
        return err_set(err, ERR_FORBIDDEN, "making a template needs root; use sudo");
    if (find_recipe(work, err) != 0)
        return -1;
    if (access(MMDEBSTRAP, X_OK) != 0)
        return err_set(err, ERR_NOT_AVAILABLE,
                       "mmdebstrap is not installed; install it: apt-get install mmdebstrap");
    if (!recipe_os_release(OS_RELEASE, "VERSION_CODENAME", work->suite, sizeof(work->suite)) ||
        !recipe_os_release(OS_RELEASE, "ID", work->system, sizeof(work->system)))
        return err_set(err, ERR_NOT_AVAILABLE,
                       OS_RELEASE " has no VERSION_CODENAME: this is not a Debian release");
    char logs[PATH_MAX];
    if (!template_path(work->target, sizeof(work->target), build->state_dir, build->name, "") ||
        !str_format(work->fresh, sizeof(work->fresh), "%s.new", work->target) ||
        !str_format(logs, sizeof(logs), "%s/log", build->state_dir) ||
        !str_format(work->log_path, sizeof(work->log_path), "%s/log/template-%s.log",
                    build->state_dir, build->name))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", build->state_dir);
    return fd_mkdirs(logs, 0755, err);
}

/* "package NAME VERSION", "architecture NAME", "size BYTES" */
static void take_fact(struct work *work, const char *fact)
{
    char name[128], version[128];
    int64_t bytes;
    if (sscanf(fact, "package %127s %127s", name, version) == 2)
        json_array_append_new(work->packages,
                              json_pack("{s:s, s:s}", "name", name, "version", version));
    else if (sscanf(fact, "architecture %31s", work->architecture) == 1)
        return;
    else if (sscanf(fact, "size %" SCNd64, &bytes) == 1)
        work->size_bytes = bytes;
}

static void on_line(const char *line, void *data)
{
    struct work *work = data;
    if (work->log >= 0)
        dprintf(work->log, "%s\n", line);
    if (str_starts_with(line, FACT))
        take_fact(work, line + strlen(FACT));
    else if (template_progress_line(&work->progress, line))
        screen_step(work->screen, work->progress.percent, work->progress.detail);
}

/* The problem is cut so that what follows it, where to read all of it, is not. */
static int explain(const struct work *work, int status, struct err *err)
{
    char how[64], where[PATH_MAX + 24];
    process_describe(status, how, sizeof(how));
    str_format(where, sizeof(where), " (all of it: %s)", work->log_path);
    const char *doing = work->progress.detail[0] ? work->progress.detail : "starting";
    const char *problem = work->progress.problem[0] ? work->progress.problem : how;
    size_t fixed = strlen("while : ") + strlen(doing) + strlen(where) + 1;
    size_t room = fixed < sizeof(err->msg) ? sizeof(err->msg) - fixed : 0;
    return err_set(err, ERR_NOT_AVAILABLE, "while %s: %.*s%s", doing, (int)room, problem, where);
}

/* Reads all it prints until nobody holds its output any more. */
static int follow(struct work *work, pid_t pid, int output, struct err *err)
{
    struct lines lines = {0};
    bool stopped = false;
    struct pollfd fds[] = {{.fd = output, .events = POLLIN},
                           {.fd = work->build->stop_fd, .events = POLLIN}};
    do {
        if (poll(fds, 2, 100) < 0 && errno != EINTR)
            abort();
        if (fds[1].revents && !stopped) {
            stopped = true;
            fds[1].fd = -1;
            kill(pid, SIGKILL); /* and its namespace dies with it */
        }
        screen_tick(work->screen);
    } while (lines_read(&lines, output, on_line, work));
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (stopped)
        return err_set(err, ERR_TIMED_OUT, "interrupted; nothing was changed");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return explain(work, status, err);
}

static int make_rootfs(struct work *work, struct err *err)
{
    char rootfs[PATH_MAX];
    if (!str_format(rootfs, sizeof(rootfs), "%s/rootfs", work->fresh))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", work->fresh);
    const char *argv[] = {"unshare",
                          "--mount",
                          "--pid",
                          "--fork",
                          "--mount-proc",
                          "--kill-child",
                          work->script,
                          rootfs,
                          work->suite,
                          work->recipe.packages,
                          NULL};
    int output[2];
    if (pipe2(output, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "pipe");
    fd_set_nonblock(output[0], true);
    struct process_spec spec = {.argv = argv, .output = output[1], .death_signal = SIGKILL};
    pid_t pid = process_start(&spec, err);
    close(output[1]);
    int rc = pid < 0 ? -1 : follow(work, pid, output[0], err);
    close(output[0]);
    return rc;
}

static int write_json(struct work *work, struct err *err)
{
    char path[PATH_MAX], from[TEMPLATE_TEXT_MAX + 1], made[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    str_format(from, sizeof(from), "%s %s %s", work->system, work->suite, work->architecture);
    cleanup_json json_t *object =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:O}", "format", TEMPLATE_FORMAT,
                  "name", work->build->name, "description", work->recipe.description, "from", from,
                  "made", made, "wanted", work->recipe.packages, "script", work->script_digest,
                  "sizeBytes", (json_int_t)work->size_bytes, "languages",
                  template_languages(work->languages, work->packages), "packages", work->packages);
    if (!str_format(path, sizeof(path), "%s/template.json", work->fresh))
        return err_set(err, ERR_INTERNAL, "%s: path too long", work->fresh);
    return template_write(path, object, err);
}

static int build_locked(struct work *work, int templates, struct err *err)
{
    if (fd_remove_tree(work->fresh, err) != 0 ||
        fd_mkdirs(work->fresh, TEMPLATE_PLACE_MODE, err) != 0)
        return -1;
    if (make_rootfs(work, err) == 0 && write_json(work, err) == 0 &&
        template_place_put(work->fresh, work->target, templates, err) == 0)
        return 0;
    fd_remove_tree(work->fresh, NULL);
    return -1;
}

static void report(struct work *work)
{
    char took[24];
    progress_duration(took, sizeof(took), screen_elapsed(work->screen));
    screen_done(work->screen, "%s, %.0f MB, %zu packages, made in %s", work->build->name,
                (double)work->size_bytes / 1e6, json_array_size(work->packages), took);
}

static bool says(const json_t *about, const char *key, const char *text)
{
    const char *said = json_string_value(json_object_get(about, key));
    return said && strcmp(said, text) == 0;
}

/* Whether the template that is there is what a build would make, but for newer packages. Then its
 * description and languages are made those of the files. -1 when that cannot be written.
 */
static int up_to_date(struct work *work, struct err *err)
{
    struct err why;
    char path[PATH_MAX], system[TEMPLATE_TEXT_MAX + 1];
    const struct template_build *build = work->build;
    if (build->again || template_check(build->state_dir, build->name, &why) != 0 ||
        !str_format(path, sizeof(path), "%s/template.json", work->target))
        return 0;
    cleanup_json json_t *about = template_read_json(path, &why);
    str_format(system, sizeof(system), "%s %s ", work->system, work->suite);
    const char *from = json_string_value(json_object_get(about, "from"));
    if (!says(about, "wanted", work->recipe.packages) ||
        !says(about, "script", work->script_digest) || !from || !str_starts_with(from, system))
        return 0;
    json_t *packages = json_object_get(about, "packages");
    json_t *languages = template_languages(work->languages, packages);
    bool same = says(about, "description", work->recipe.description) &&
                json_equal(languages, json_object_get(about, "languages"));
    json_object_set_new(about, "languages", languages);
    json_object_set_new(about, "description", json_string(work->recipe.description));
    if (!same && template_write(path, about, err) != 0)
        return -1;
    screen_done(work->screen, "%s is up to date%s", build->name,
                same ? "" : "; its description and languages were noted anew");
    return 1;
}

static int build_or_keep(struct work *work, struct err *err)
{
    const struct template_build *build = work->build;
    if (prepare(work, err) != 0)
        return -1;
    cleanup_close int templates = template_place_lock(build->state_dir, err);
    if (templates < 0)
        return -1;
    template_place_sweep(build->state_dir);
    int kept = up_to_date(work, err);
    if (kept != 0)
        return kept < 0 ? -1 : 0;
    work->log = open(work->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (build_locked(work, templates, err) != 0 ||
        template_check(build->state_dir, build->name, err) != 0)
        return -1;
    report(work);
    return 0;
}

int template_build(const struct template_build *build, struct screen *screen, struct err *err)
{
    struct work work = {.build = build, .screen = screen, .log = -1, .packages = json_array()};
    int rc = build_or_keep(&work, err);
    json_decref(work.packages);
    languages_free(work.languages);
    fd_close(&work.log);
    return rc;
}

void template_build_sweep(const char *state_dir)
{
    struct err err;
    cleanup_close int templates = template_place_lock(state_dir, &err);
    if (templates >= 0)
        template_place_sweep(state_dir);
}

int template_remove(const char *state_dir, const char *name, bool *lives, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (geteuid() != 0)
        return err_set(err, ERR_FORBIDDEN, "removing a template needs root; use sudo");
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no template's name", name);
    if (!template_path(path, sizeof(path), state_dir, name, ""))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", state_dir);
    if (lstat(path, &st) != 0)
        return err_sys(err, ERR_NOT_FOUND, errno, "%s", path);
    cleanup_close int templates = template_place_lock(state_dir, err);
    if (templates < 0)
        return -1;
    template_place_sweep(state_dir);
    if (template_place_away(path, path, err) != 0)
        return -1;
    template_place_sweep(state_dir);
    *lives = template_place_has_left_over(state_dir, name);
    return 0;
}
