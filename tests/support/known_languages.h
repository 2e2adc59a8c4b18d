/* The languages of this source tree, for tests of what looks them up. */
#ifndef SUPPORT_KNOWN_LANGUAGES_H
#define SUPPORT_KNOWN_LANGUAGES_H

#include "../../src/common/languages.h"

/* Loaded once, and freed at the program's end; ends the program when they cannot be. */
const struct languages *known_languages(void);

#endif
