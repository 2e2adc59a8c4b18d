/* A step that takes a while, as one line of a terminal: what, how far, since when, with what. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "../common/clock.h"

#include <stdbool.h>
#include <stddef.h>

#define PROGRESS_UNKNOWN (-1)

struct progress {
    const char *label;  /* a word */
    const char *detail; /* what is being done now; "" for nothing */
    int percent;        /* 0..100, or PROGRESS_UNKNOWN: no bar */
    mono_us elapsed_us;
};

struct progress_look {
    bool utf8, colour;
    unsigned width; /* columns of the terminal; the line never fills the last one */
};

/* Writes the line, without a newline; the detail is cut to the width, then the bar left out. room
 * of PROGRESS_LINE_MAX is always enough.
 */
#define PROGRESS_LINE_MAX 1024
void progress_render(char *text, size_t room, const struct progress *progress,
                     const struct progress_look *look);

/* "0.4 s" below ten seconds, "12 s" below a minute, then "1:05 min". */
void progress_duration(char *text, size_t room, mono_us elapsed_us);

#endif
