/* All languages: one file each in a folder, sorted by name. */
#ifndef COMMON_LANGUAGES_H
#define COMMON_LANGUAGES_H

#include "config.h"
#include "language.h"

#define LANGUAGES_MAX 256

#define LANGUAGE_DEFAULT "sh" /* of a run that names none */

struct languages;

/* Reads every NAME.conf of the folder. Fails when a file is wrong, when two languages claim a name
 * or alias, when there are more than LANGUAGES_MAX, and without LANGUAGE_DEFAULT. Not for two
 * threads at once.
 */
struct languages *languages_load(const char *folder, struct err *err);

/* The folder that the settings name, or the one that came with this program. */
struct languages *languages_load_configured(const struct config *config, struct err *err);

void languages_free(struct languages *languages);

size_t languages_len(const struct languages *languages);
const struct language *languages_at(const struct languages *languages, size_t i);

/* By name or alias. NULL with ERR_UNKNOWN_LANGUAGE, whose message lists the known ones. */
const struct language *languages_find(const struct languages *languages, const char *name,
                                      size_t len, struct err *err);

/* LANGUAGE_DEFAULT. */
const struct language *languages_default(const struct languages *languages);

#endif
