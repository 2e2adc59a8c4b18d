/* Lines out of a pipe, cut at a bound: what a child process prints. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_MAX_BYTES 4096

struct lines {
    char text[LINES_MAX_BYTES + 1];
    size_t len;
    bool cutting; /* the rest of a line that was too long is dropped */
};

/* One line without its newline; the text is valid during the call. */
typedef void (*lines_cb)(const char *line, void *data);

/* Reads what is there from a non-blocking descriptor, up to a bound, and calls on_line for each
 * whole line. Returns false at the end of the file (an unfinished last line is delivered first) or
 * on an error.
 */
bool lines_read(struct lines *lines, int fd, lines_cb on_line, void *data);

#endif
