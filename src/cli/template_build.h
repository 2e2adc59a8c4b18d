/* Making a template: mmdebstrap into a folder beside it, then one rename. An interrupted or failed
 * build leaves the old template in place, and nothing but what the next build removes.
 */
#ifndef CLI_TEMPLATE_BUILD_H
#define CLI_TEMPLATE_BUILD_H

#include "screen.h"

#include "../common/err.h"
#include "../common/template.h"

struct template_build {
    const char *state_dir, *name;
    const char *self; /* this program's file: recipes are found from there */
    const struct config *config;
    bool again;  /* also when nothing of its recipe has changed: packages may have */
    int stop_fd; /* readable: give up; from process_catch_stop */
};

/* Blocks, for half a minute or some, and moves the screen's open step meanwhile; on success it
 * closes the step. A template whose recipe, packages and system are as they were is left as it is;
 * what its languages are is noted anew. Fails when another build is going on, and for each reason
 * with what to do about it. A template that it replaces stays as NAME.old (or NAME.old2...) for
 * runners that live on it, until the first build or template_build_sweep after the last of them.
 */
int template_build(const struct template_build *build, struct screen *screen, struct err *err);

/* Takes a template away: no runner is made from it any more. What runners live on stays on the disk
 * until the first build or template_build_sweep after the last of them; then *lives is true. Fails
 * when there is none of that name and while a build is going on.
 */
int template_remove(const char *state_dir, const char *name, bool *lives, struct err *err);

/* Removes what interrupted builds and replaced templates left, unless a build is going on, and
 * but for what runners live on.
 */
void template_build_sweep(const char *state_dir);

#endif
