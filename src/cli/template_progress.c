#include "template_progress.h"

#include "../common/mem.h"
#include "../common/str.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What mmdebstrap says when a stage begins, and how far everything is then. Within a stage each
 * package is counted `steps` times, by the lines of the table below.
 */
static const struct stage {
    const char *begins, *detail;
    int percent;
    unsigned steps;
} stages[] = {
    {"", "starting", 0, 0},
    {"running apt-get update", "fetching the lists of packages", 1, 0},
    {"downloading packages with apt", "downloading", 10, 1},
    {"extracting archives", "extracting", 15, 1},
    {"installing essential packages", "installing the essential packages", 40, 2},
    {"installing remaining packages", "installing the other packages", 65, 3},
    {"cleaning package lists", "cleaning up", 96, 0},
    {"adding the user", "adding the user and the mount points", 97, 0},
    {"dropping what", "dropping what no program needs", 98, 0},
};

static const struct step {
    const char *begins, *verb;
    size_t word; /* which word after `begins` names the package */
} steps[] = {
    {"Get:", "downloading", 4},
    {"running dpkg-deb --fsys-tarfile ", "extracting", 0},
    {"Unpacking ", "unpacking", 0},
    {"Setting up ", "setting up", 0},
};

/* "I: 12 345 text" with --debug, "I: text" without; the text, or NULL for any other line. */
static const char *message(const char *line, char kind)
{
    if (line[0] != kind || line[1] != ':' || line[2] != ' ')
        return NULL;
    const char *text = line + 3;
    return text + strspn(text, "0123456789 ");
}

/* Only what may be in a package's name, without its path, version and architecture. */
static void package_name(char *name, size_t room, const char *text, size_t word)
{
    for (size_t i = 0; i < word; i++) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    size_t len = strcspn(text, " ");
    const char *slash = memrchr(text, '/', len);
    if (slash) {
        len -= (size_t)(slash + 1 - text);
        text = slash + 1;
    }
    size_t keep = 0;
    while (keep < len && (isalnum((unsigned char)text[keep]) || strchr("+.-", text[keep])))
        keep++;
    str_format(name, room, "%.*s", (int)(keep < 60 ? keep : 60), text);
}

static void set_percent(struct template_progress *progress)
{
    const struct stage *stage = &stages[progress->stage];
    int from = stage->percent;
    int to = progress->stage + 1 < ARRAY_LEN(stages) ? stages[progress->stage + 1].percent : 100;
    int percent = from;
    if (progress->total > 0 && stage->steps > 0) {
        unsigned all = progress->total * stage->steps;
        unsigned done = progress->count < all ? progress->count : all;
        percent = from + (int)((unsigned)(to - from) * done / all);
    }
    if (percent > progress->percent)
        progress->percent = percent;
}

static bool begin_stage(struct template_progress *progress, const char *text)
{
    for (size_t i = progress->stage + 1; i < ARRAY_LEN(stages); i++) {
        if (!str_starts_with(text, stages[i].begins))
            continue;
        /* What was downloaded is what is extracted and installed next. */
        if (stages[i].steps == 3)
            progress->total = 0;
        progress->stage = i;
        progress->count = 0;
        str_format(progress->detail, sizeof(progress->detail), "%s", stages[i].detail);
        set_percent(progress);
        return true;
    }
    return false;
}

static bool count_step(struct template_progress *progress, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (!str_starts_with(text, steps[i].begins))
            continue;
        if (stages[progress->stage].steps == 0)
            return false; /* the lists of packages are fetched with "Get:" too */
        char name[64];
        package_name(name, sizeof(name), text + strlen(steps[i].begins), steps[i].word);
        str_format(progress->detail, sizeof(progress->detail), "%s %s", steps[i].verb, name);
        progress->count++;
        set_percent(progress);
        return true;
    }
    return false;
}

/* A full disk explains whatever else failed; then apt's and mmdebstrap's first own words. */
static void note_problem(struct template_progress *progress, const char *line)
{
    const char *text = message(line, 'E');
    bool full = strstr(line, "No space left on device") != NULL;
    bool error = full || text || str_starts_with(line, "dpkg: error");
    if (!error || (progress->problem[0] && !full))
        return;
    snprintf(progress->problem, sizeof(progress->problem), "%s", text ? text : line);
}

bool template_progress_line(struct template_progress *progress, const char *line)
{
    note_problem(progress, line);
    const char *text = message(line, 'I');
    if (text)
        return begin_stage(progress, text);
    const char *debug = message(line, 'D');
    const char *newly = strstr(line, " newly installed");
    if (newly && isdigit((unsigned char)line[0])) {
        const char *digits = newly;
        while (digits > line && isdigit((unsigned char)digits[-1]))
            digits--;
        progress->total = (unsigned)strtoul(digits, NULL, 10);
        return false;
    }
    return count_step(progress, debug ? debug : line);
}
