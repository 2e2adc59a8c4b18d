#include "progress.h"

#include "../common/buf.h"
#include "../common/str.h"

#include <string.h>

#define BAR_COLUMNS 24
#define LABEL_COLUMNS 10
#define TIME_COLUMNS 10
#define FRAME_US (100 * US_PER_MS)

#define DIM "\x1b[2m"
#define CYAN "\x1b[36m"
#define PLAIN "\x1b[0m"

void progress_duration(char *text, size_t room, mono_us elapsed_us)
{
    int seconds = (int)(elapsed_us / US_PER_SEC);
    if (elapsed_us < 10 * US_PER_SEC)
        str_format(text, room, "%.1f s", (double)elapsed_us / US_PER_SEC);
    else if (seconds < 60)
        str_format(text, room, "%d s", seconds);
    else
        str_format(text, room, "%d:%02d min", seconds / 60, seconds % 60);
}

static void put_spinner(struct buf *line, const struct progress *progress,
                        const struct progress_look *look)
{
    static const char *const braille[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    static const char *const ascii[] = {"-", "\\", "|", "/"};
    size_t frame = (size_t)(progress->elapsed_us / FRAME_US);
    const char *glyph = look->utf8 ? braille[frame % 10] : ascii[frame % 4];
    buf_printf(line, "  %s%s%s ", look->colour ? CYAN : "", glyph, look->colour ? PLAIN : "");
}

static void put_bar(struct buf *line, int percent, const struct progress_look *look)
{
    int full = percent * BAR_COLUMNS / 100;
    if (!look->utf8)
        buf_append_str(line, "[");
    else if (look->colour)
        buf_append_str(line, CYAN);
    for (int i = 0; i < full; i++)
        buf_append_str(line, look->utf8 ? "━" : "#");
    if (look->utf8 && look->colour)
        buf_append_str(line, PLAIN DIM);
    for (int i = full; i < BAR_COLUMNS; i++)
        buf_append_str(line, look->utf8 ? (look->colour ? "━" : "╌") : "-");
    if (!look->utf8)
        buf_append_str(line, "]");
    else if (look->colour)
        buf_append_str(line, PLAIN);
    buf_printf(line, " %3d %%  ", percent);
}

void progress_render(char *text, size_t room, const struct progress *progress,
                     const struct progress_look *look)
{
    struct buf line;
    buf_init(&line, room - 1);
    char elapsed[24];
    progress_duration(elapsed, sizeof(elapsed), progress->elapsed_us);

    unsigned columns = 4 + LABEL_COLUMNS + 1;
    put_spinner(&line, progress, look);
    buf_printf(&line, "%-*s ", LABEL_COLUMNS, progress->label);

    const unsigned bar_columns = BAR_COLUMNS + (look->utf8 ? 0 : 2) + 8;
    if (progress->percent != PROGRESS_UNKNOWN &&
        columns + bar_columns + TIME_COLUMNS < look->width) {
        int percent = progress->percent < 0 ? 0 : progress->percent;
        put_bar(&line, percent > 100 ? 100 : percent, look);
        columns += bar_columns;
    }
    if (columns + TIME_COLUMNS < look->width) {
        buf_printf(&line, "%-*s", TIME_COLUMNS, elapsed);
        columns += TIME_COLUMNS;
    }
    if (columns + 1 < look->width) {
        unsigned left = look->width - 1 - columns;
        size_t len = strlen(progress->detail);
        size_t fits = str_utf8_valid(progress->detail, len < left ? len : left);
        buf_printf(&line, "%s%.*s%s", look->colour ? DIM : "", (int)fits, progress->detail,
                   look->colour ? PLAIN : "");
    }
    str_format(text, room, "%s", line.data ? line.data : "");
    buf_finish(&line);
}
