/* An archive of a template for a person: into a file, which is there whole or not at all, or to
 * stdout.
 */
#ifndef CLI_TEMPLATE_EXPORT_H
#define CLI_TEMPLATE_EXPORT_H

#include "screen.h"

#include "../common/err.h"

struct template_export {
    const char *state_dir, *name;
    const char *path; /* "-": stdout; NULL: NAME.tar.zst here */
    int stop_fd;      /* readable: give up; from process_catch_stop */
};

/* Blocks until all is written and moves the screen's open step meanwhile; on success it closes the
 * step. A file of that name is replaced. Takes root.
 */
int template_export(const struct template_export *export, struct screen *screen, struct err *err);

#endif
