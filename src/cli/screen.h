/* What a person sees: finished steps with a tick, one step that moves, events with their time.
 * On a terminal the moving step is redrawn in place; elsewhere everything is a plain line.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "progress.h"

struct screen {
    int fd;
    bool terminal; /* lines can be redrawn */
    struct progress_look look;
    const struct clock *clock;
    bool moving; /* a step is open */
    struct progress step;
    char label[16], detail[160], said[160];
    mono_us since, said_at;
};

/* Looks at the descriptor, TERM, NO_COLOR and the locale. */
void screen_init(struct screen *screen, int fd);

/* Opens the moving step; one that was open is forgotten. */
void screen_begin(struct screen *screen, const char *label, const char *detail);

/* How far it is. percent as in progress.h. Elsewhere than on a terminal a line appears when the
 * detail's first word has changed, or all of it and the last line is some seconds old.
 */
void screen_step(struct screen *screen, int percent, const char *detail);

/* Redraws the moving step, so that its time goes on; call it now and then. */
void screen_tick(struct screen *screen);

/* Closes the step with a tick or a cross, and says how it ended. */
void screen_done(struct screen *screen, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void screen_failed(struct screen *screen, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* How long the open step has taken. */
mono_us screen_elapsed(const struct screen *screen);

/* A line of its own; control bytes in it are shown as '?'. */
void screen_say(struct screen *screen, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with the time of day and a colour by kind, above the moving step if there is one. */
enum screen_kind { SCREEN_NOTE, SCREEN_GOOD, SCREEN_BAD };
void screen_event(struct screen *screen, enum screen_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "name  value" in the columns of the steps, the value set off. */
void screen_fact(struct screen *screen, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
