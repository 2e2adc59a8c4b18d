/* The templates on this host's disk, and an oven for each. A template that is built, built again or
 * removed while the worker runs is seen by the next pantry_look.
 */
#ifndef WORKER_PANTRY_H
#define WORKER_PANTRY_H

#include "services.h"

#include "../common/template.h"

#include <jansson.h>

#define PANTRY_LANGUAGES_MAX 128
#define PANTRY_LANGUAGE_TEXT_MAX 64

struct pantry;

/* services->ovens and its config's state_dir must be set; looks for the first time. */
struct pantry *pantry_create(const struct services *services);
void pantry_destroy(struct pantry *pantry); /* the ovens stay; NULL is fine */

/* Cheap while nothing changes: some stats per template. Neither inside an oven_take_cb nor in an
 * observer of the roster.
 */
void pantry_look(struct pantry *pantry);

/* The oven of a template, "" for the default one; looks again before it says that there is none:
 * NULL with ERR_NOT_AVAILABLE and the command that makes it. As pantry_look, not inside.
 */
struct oven *pantry_find(struct pantry *pantry, const char *template_name, struct err *err);

/* What template.json says of a template that was there at the last look; NULL for others. */
const struct template_info *pantry_info(const struct pantry *pantry, const char *template_name);

/* Its languages, [{"name", "version"}]: borrowed, valid until the next look. */
const json_t *pantry_languages(const struct pantry *pantry, const char *template_name);

#endif
