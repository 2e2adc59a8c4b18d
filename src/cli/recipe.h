/* A template's recipe: templates/NAME.conf, what it is made of. */
#ifndef CLI_RECIPE_H
#define CLI_RECIPE_H

#include "../common/err.h"
#include "../common/languages.h"
#include "../common/template.h"

#define RECIPE_PACKAGES_MAX 4000
#define RECIPE_WITH_MAX 400

struct recipe {
    char description[TEMPLATE_TEXT_MAX + 1];
    char packages[RECIPE_PACKAGES_MAX + 1]; /* names with commas between them; checked */
    char with[RECIPE_WITH_MAX + 1]; /* other templates whose languages it has too; so, too */
};

/* Fails with "FILE:LINE: ..." on an unknown key, a name that is no package's, or text too long. */
int recipe_read(struct recipe *recipe, const char *path, struct err *err);

/* Adds the packages of the languages that the template `name`, or one of those it is `with`,
 * brings; then packages has each once, sorted.
 */
int recipe_add_languages(struct recipe *recipe, const char *name, const struct languages *languages,
                         struct err *err);

/* A value of /etc/os-release or a file like it, without quotes; false when it is not there. */
bool recipe_os_release(const char *path, const char *key, char *value, size_t room);

#endif
