/* Making a template of an archive that may be anybody's: a confined child unpacks it beside, it is
 * checked, then one rename. An interrupted or refused import leaves the old template in place, and
 * nothing but what the next build or import removes.
 */
#ifndef CLI_TEMPLATE_IMPORT_H
#define CLI_TEMPLATE_IMPORT_H

#include "screen.h"

#include "../common/err.h"

struct template_import {
    const char *state_dir;
    const char *path; /* "-": stdin */
    const char *as;   /* its name here; NULL: that of the template it was made from */
    int stop_fd;      /* readable: give up; from process_catch_stop */
};

/* Blocks until all is on the disk and moves the screen's open step meanwhile; on success it closes
 * the step. A template that it replaces stays as with template_build. Takes root.
 */
int template_import(const struct template_import *import, struct screen *screen, struct err *err);

#endif
