/* `codeland template build NAME`, `rebuild NAME`, `rm NAME`, `ls`, `export NAME`, `import FILE` */
#include "../common/locate.h"
#include "../common/options.h"
#include "process.h"
#include "template_build.h"
#include "template_export.h"
#include "template_import.h"
#include "verbs.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNNERS_HAVE_IT "Runners that are made from now on have it."

/* The words of one call; what they mean is the verb's. */
struct call {
    struct options options;
    const char *as;
};

/* What takes a while: a step on the screen, which a failure closes with its reason. */
static struct screen screen;

static int failed(const char *name, const struct err *err)
{
    screen_failed(&screen, "%s: %s", name, err->msg);
    return EXIT_FAILED;
}

static void begin(int fd)
{
    screen_init(&screen, fd);
    screen_begin(&screen, "template", "");
}

static int make(const struct call *call, bool again)
{
    struct err err;
    char self[PATH_MAX];
    const struct options *options = &call->options;
    struct template_build build = {
        .state_dir = options->config.paths_state_dir,
        .name = options->rest[1],
        .self = self,
        .config = &options->config,
        .again = again,
        .stop_fd = process_catch_stop(),
    };
    begin(STDOUT_FILENO);
    if (locate_self(self, &err) != 0 || template_build(&build, &screen, &err) != 0)
        return failed(build.name, &err);
    screen_say(&screen, RUNNERS_HAVE_IT);
    return EXIT_OK;
}

static int build(const struct call *call)
{
    return make(call, false);
}

static int rebuild(const struct call *call)
{
    return make(call, true);
}

static int export_it(const struct call *call)
{
    struct err err;
    const struct template_export export = {
        .state_dir = call->options.config.paths_state_dir,
        .name = call->options.rest[1],
        .path = call->options.rest[2],
        .stop_fd = process_catch_stop(),
    };
    /* The archive may be what goes to stdout. */
    bool to_stdout = export.path && strcmp(export.path, "-") == 0;
    begin(to_stdout ? STDERR_FILENO : STDOUT_FILENO);
    return template_export(&export, &screen, &err) == 0 ? EXIT_OK : failed(export.name, &err);
}

static int import_it(const struct call *call)
{
    struct err err;
    const struct template_import import = {
        .state_dir = call->options.config.paths_state_dir,
        .path = call->options.rest[1],
        .as = call->as,
        .stop_fd = process_catch_stop(),
    };
    begin(STDOUT_FILENO);
    if (template_import(&import, &screen, &err) != 0)
        return failed(strcmp(import.path, "-") == 0 ? "stdin" : import.path, &err);
    screen_say(&screen, RUNNERS_HAVE_IT);
    return EXIT_OK;
}

static int take_away(const struct call *call)
{
    const struct options *options = &call->options;
    struct err err;
    bool lives;
    const char *name = options->rest[1];
    if (template_remove(options->config.paths_state_dir, name, &lives, &err) != 0) {
        fprintf(stderr, "codeland template: %s\n", err.msg);
        return EXIT_FAILED;
    }
    printf("%s is gone%s\n", name,
           lives ? "; its files go once the runners that live on them have ended" : "");
    return EXIT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in STATE_DIR/templates, sorted; the caller frees each and the list. A folder that is
 * not there has none.
 */
static int names(const char *state_dir, char ***list, size_t *count, struct err *err)
{
    char path[PATH_MAX];
    *list = NULL;
    *count = 0;
    if (!str_format(path, sizeof(path), "%s/templates", state_dir))
        return err_set(err, ERR_BAD_REQUEST, "%s: path too long", state_dir);
    DIR *folder = opendir(path);
    if (!folder && errno == EACCES)
        return err_set(err, ERR_FORBIDDEN, "only root sees what is in %s; use sudo", path);
    if (!folder && errno != ENOENT)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (!id_name_valid(entry->d_name))
            continue;
        *list = mem_realloc(*list, (*count + 1) * sizeof(**list));
        (*list)[(*count)++] = mem_strdup(entry->d_name);
    }
    if (folder)
        closedir(folder);
    if (*count)
        qsort(*list, *count, sizeof(**list), by_name);
    return 0;
}

static bool is_closed(const char *state_dir, const char *name)
{
    char path[PATH_MAX];
    return geteuid() != 0 && template_path(path, sizeof(path), state_dir, name, "") &&
           access(path, X_OK) != 0 && errno == EACCES;
}

static int list_one(const char *state_dir, const char *name)
{
    struct err err;
    struct template_info info;
    if (is_closed(state_dir, name)) {
        printf("%-16s only root sees what it is; use sudo\n", name);
        return EXIT_FAILED;
    }
    if (template_check(state_dir, name, &err) != 0 ||
        template_read(state_dir, name, &info, &err) != 0) {
        printf("%-16s %s\n", name, err.msg);
        return EXIT_FAILED;
    }
    printf("%-16s %5.0f MB %8zu  %-21s %-24s %s\n", info.name, (double)info.size_bytes / 1e6,
           info.packages, info.made, info.from, info.description);
    return EXIT_OK;
}

static int list(const struct call *call)
{
    const char *state_dir = call->options.config.paths_state_dir;
    struct err err;
    size_t count;
    char **list;
    int code = EXIT_OK;
    if (names(state_dir, &list, &count, &err) != 0) {
        fprintf(stderr, "codeland template: %s\n", err.msg);
        return EXIT_FAILED;
    }
    if (count == 0)
        printf("no template in %s/templates; make one: sudo codeland template build base\n",
               state_dir);
    else
        printf("%-16s %8s %8s  %-21s %-24s %s\n", "NAME", "SIZE", "PACKAGES", "MADE", "FROM",
               "WHAT");
    for (size_t i = 0; i < count; i++) {
        if (list_one(state_dir, list[i]) != EXIT_OK)
            code = EXIT_FAILED;
        free(list[i]);
    }
    free(list);
    return code;
}

static const struct {
    const char *word;
    int (*run)(const struct call *call);
    size_t least, most; /* words, its own among them */
    bool as;
} verbs[] = {
    {"build", build, 2, 2, false},      {"rebuild", rebuild, 2, 2, false},
    {"rm", take_away, 2, 2, false},     {"ls", list, 1, 1, false},
    {"export", export_it, 2, 3, false}, {"import", import_it, 2, 2, true},
};

int cli_template(int argc, char **argv)
{
    static struct call call; /* too large for a stack */
    struct err err;
    if (options_take_text(&argc, argv, "--as", &call.as, &err) != 0 ||
        options_parse(&call.options, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland template: %s\n", err.msg);
        return EXIT_USAGE;
    }
    const size_t words = call.options.rest_len;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (words >= verbs[i].least && words <= verbs[i].most && (verbs[i].as || !call.as) &&
            strcmp(call.options.rest[0], verbs[i].word) == 0)
            return verbs[i].run(&call);
    fprintf(stderr, "codeland template: expected \"build NAME\", \"rebuild NAME\", \"rm NAME\", "
                    "\"ls\", \"export NAME [FILE]\" or \"import FILE [--as NAME]\"; "
                    "see codeland template --help\n");
    return EXIT_USAGE;
}
