/* How far mmdebstrap is, told from what it prints. */
#ifndef CLI_TEMPLATE_PROGRESS_H
#define CLI_TEMPLATE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct template_progress {
    size_t stage;   /* row of the table of stages */
    unsigned total; /* packages of the stage, 0 until it is known */
    unsigned count; /* what was counted in the stage */
    int percent;    /* of everything; never falls */
    char detail[120];
    char problem[400]; /* the line that best says why it failed, "" when none does */
};

/* Takes the next line; true when percent or detail changed. Begin with all zeros. */
bool template_progress_line(struct template_progress *progress, const char *line);

#endif
