/* Where the daemons' log lines go. On a terminal: all of them into STATE_DIR/log/codeland.log, kept
 * below a size, and those that matter onto the screen, shortened. Elsewhere: all of them as they
 * are to stderr, where a service manager keeps them.
 */
#ifndef CLI_LOGS_H
#define CLI_LOGS_H

#include "screen.h"

#include "../common/err.h"

#include <limits.h>
#include <sys/types.h>

/* The file is renamed to codeland.log.1 when it reaches this size. */
#define LOGS_FILE_MAX_BYTES (16 * 1024 * 1024)

/* More lines than this in a second are counted, not shown. */
#define LOGS_SHOWN_PER_SECOND 8

/* A shortened line is cut at this. */
#define LOGS_TEXT_MAX 400

struct logs {
    struct screen *screen;
    char path[PATH_MAX]; /* "" when lines go to stderr */
    int fd;
    off_t size;
    mono_us second; /* start of the second that is being counted */
    unsigned shown, hidden;
};

int logs_open(struct logs *logs, struct screen *screen, const char *state_dir, struct err *err);
void logs_close(struct logs *logs);

/* One line that the daemon called name wrote. */
void logs_take(struct logs *logs, const char *name, const char *line);

/* A log line for a person: the event first, then the fields but level, time and program; any other
 * line as it is. Returns whether it matters: a warning, an error, or no log line at all.
 */
bool logs_shorten(const char *line, char *text, size_t room);

#endif
