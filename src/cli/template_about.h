/* template.json: what a template says about itself, beyond what template.h reads of it. */
#ifndef CLI_TEMPLATE_ABOUT_H
#define CLI_TEMPLATE_ABOUT_H

#include "../common/languages.h"

#include <jansson.h>

/* The languages whose packages are all among those installed ([{name, version}]): a new array
 * [{name, version}], the version that of the language's first package, without what Debian adds.
 */
json_t *template_languages(const struct languages *languages, const json_t *packages);

/* "2:1.19~1" is 1.19, "12.2.0-3" is 12.2.0: up to the first of - + ~, or .dfsg. */
void template_upstream_version(char *text, size_t room, const char *version);

/* The file as it is, or NULL. */
json_t *template_read_json(const char *path, struct err *err);

/* Replaces it, lastingly. */
int template_write(const char *path, const json_t *about, struct err *err);

#endif
