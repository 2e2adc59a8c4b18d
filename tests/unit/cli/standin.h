/* Stand-ins for the two daemons, so that `up` is tested alone: what they do wrong is written, as
 * words, into STATE_DIR/worker.does and STATE_DIR/manager.does, which they read when they start.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include "../../../src/common/options.h"

#include <stdbool.h>

/* Whether the word is in STATE_DIR/NAME.does. */
bool standin_does(const struct config *config, const char *name, const char *word);

/* Adds a line to STATE_DIR/NAME.did. */
void standin_did(const struct config *config, const char *name, const char *what);

#endif
