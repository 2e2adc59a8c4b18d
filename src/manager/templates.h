/* Which template a run gets that names none: the smallest that has its language. */
#ifndef MANAGER_TEMPLATES_H
#define MANAGER_TEMPLATES_H

#include "../common/languages.h"
#include "fleet.h"

/* A template at one worker. */
struct template_offer {
    const char *name;
    int64_t bytes; /* on the worker's disk; 0: unknown */
    bool usable;   /* runs are sent to that worker now */
};

/* The best offer so far; begins as {0}, and name stays NULL while there is none. */
struct template_choice {
    const char *name;    /* the offer's */
    const char *version; /* that the language has there; "" when it was not told */
    int64_t bytes;
    bool usable;
};

/* Whether the offer is better than the choice: usable first, then the smaller (one of unknown size
 * is larger than all others), then by name, so that the order of the offers does not matter.
 */
bool template_better(const struct template_offer *offer, const struct template_choice *choice);

/* The version that `languages`, [{"name", "version"}] of a template, has of a language; NULL when
 * the language is not there. A template that tells none (NULL or empty) has sh, as every one has.
 */
const char *template_version(const json_t *languages, const char *language);

/* The template for a language, over all workers; name NULL when no worker has one. Its texts are
 * valid until the loop's next turn.
 */
struct template_choice templates_find(const struct fleet *fleet, const char *language);

/* The same for every language at once: choices has languages_len() entries, in their order. */
void templates_find_all(const struct fleet *fleet, const struct languages *languages,
                        struct template_choice *choices);

/* What a run is to ask for; valid until the loop's next turn. NULL with ERR_NOT_AVAILABLE and the
 * command that builds the template when no worker has one. While a worker has not been reached yet
 * that may have it, it is the template that brings the language.
 */
const char *templates_choose(const struct fleet *fleet, const struct language *language,
                             struct err *err);

#endif
