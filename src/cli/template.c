/* `codeland template build NAME`, `rebuild NAME`, `rm NAME`, `ls` */
#include "../common/locate.h"
#include "../common/options.h"
#include "process.h"
#include "template_build.h"
#include "verbs.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int build(const struct options *options, bool again)
{
    struct err err;
    char self[PATH_MAX];
    struct template_build build = {
        .state_dir = options->config.paths_state_dir,
        .name = options->rest[1],
        .self = self,
        .config = &options->config,
        .again = again,
        .stop_fd = process_catch_stop(),
    };
    struct screen screen;
    screen_init(&screen, STDOUT_FILENO);
    screen_begin(&screen, "template", "");
    if (locate_self(self, &err) != 0 || template_build(&build, &screen, &err) != 0) {
        screen_failed(&screen, "%s: %s", options->rest[1], err.msg);
        return EXIT_FAILED;
    }
    screen_say(&screen, "Runners that are made from now on have it.");
    return EXIT_OK;
}

static int take_away(const struct options *options)
{
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

/* The names in STATE_DIR/templates, sorted; the caller frees each and the list. */
static char **names(const char *state_dir, size_t *count)
{
    char path[PATH_MAX];
    char **list = NULL;
    *count = 0;
    DIR *folder = str_format(path, sizeof(path), "%s/templates", state_dir) ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (!id_name_valid(entry->d_name))
            continue;
        list = mem_realloc(list, (*count + 1) * sizeof(*list));
        list[(*count)++] = mem_strdup(entry->d_name);
    }
    if (folder)
        closedir(folder);
    if (*count)
        qsort(list, *count, sizeof(*list), by_name);
    return list;
}

static int list(const struct options *options)
{
    const char *state_dir = options->config.paths_state_dir;
    size_t count;
    char **list = names(state_dir, &count);
    int code = EXIT_OK;
    if (count == 0)
        printf("no template in %s/templates; make one: codeland template build base\n", state_dir);
    else
        printf("%-16s %8s %8s  %-21s %-24s %s\n", "NAME", "SIZE", "PACKAGES", "MADE", "FROM",
               "WHAT");
    for (size_t i = 0; i < count; i++) {
        struct err err;
        struct template_info info;
        if (template_check(state_dir, list[i], &err) == 0 &&
            template_read(state_dir, list[i], &info, &err) == 0) {
            printf("%-16s %5.0f MB %8zu  %-21s %-24s %s\n", info.name,
                   (double)info.size_bytes / 1e6, info.packages, info.made, info.from,
                   info.description);
        } else {
            printf("%-16s %s\n", list[i], err.msg);
            code = EXIT_FAILED;
        }
        free(list[i]);
    }
    free(list);
    return code;
}

int cli_template(int argc, char **argv)
{
    struct err err;
    struct options options;
    if (options_parse(&options, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland template: %s\n", err.msg);
        return EXIT_USAGE;
    }
    if (options.rest_len == 2 && strcmp(options.rest[0], "build") == 0)
        return build(&options, false);
    if (options.rest_len == 2 && strcmp(options.rest[0], "rebuild") == 0)
        return build(&options, true);
    if (options.rest_len == 2 && strcmp(options.rest[0], "rm") == 0)
        return take_away(&options);
    if (options.rest_len == 1 && strcmp(options.rest[0], "ls") == 0)
        return list(&options);
    fprintf(stderr, "codeland template: expected \"build NAME\", \"rebuild NAME\", \"rm NAME\" or "
                    "\"ls\"; "
                    "see codeland template --help\n");
    return EXIT_USAGE;
}
