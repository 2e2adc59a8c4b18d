#include "templates.h"

#include <string.h>

bool template_better(const struct template_offer *offer, const struct template_choice *choice)
{
    if (!choice->name)
        return true;
    if (offer->usable != choice->usable)
        return offer->usable;
    if (offer->bytes != choice->bytes)
        return choice->bytes == 0 || (offer->bytes != 0 && offer->bytes < choice->bytes);
    return strcmp(offer->name, choice->name) < 0;
}

const char *template_version(const json_t *languages, const char *language)
{
    size_t count = json_array_size(languages);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(languages, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        const char *version = json_string_value(json_object_get(entry, "version"));
        if (name && strcmp(name, language) == 0)
            return version ? version : "";
    }
    return count == 0 && strcmp(language, LANGUAGE_DEFAULT) == 0 ? "" : NULL;
}

/* Sizes are compared first: most offers need not be searched for the language. */
static void weigh(struct template_choice *choice, const struct template_offer *offer,
                  const json_t *languages, const char *language)
{
    const char *version =
        template_better(offer, choice) ? template_version(languages, language) : NULL;
    if (version)
        *choice = (struct template_choice){offer->name, version, offer->bytes, offer->usable};
}

static bool takes_runs(const struct worker *worker)
{
    return worker_up(worker) && !worker_draining(worker) && !worker_health(worker)->failing;
}

typedef void (*offer_cb)(const struct template_offer *offer, const json_t *languages, void *data);

static void each_offer(const struct fleet *fleet, offer_cb each, void *data)
{
    for (size_t i = 0; i < fleet_count(fleet); i++) {
        const struct worker *worker = fleet_at(fleet, i);
        const struct worker_figures *figures = worker_get_figures(worker);
        bool usable = takes_runs(worker);
        for (size_t j = 0; figures && j < figures->ovens_len; j++) {
            const struct worker_oven *oven = &figures->ovens[j];
            const struct template_offer offer = {oven->name, oven->bytes,
                                                 usable && !oven->draining};
            each(&offer, worker_languages(worker, j), data);
        }
    }
}

struct search {
    const char *language;
    struct template_choice choice;
};

static void weigh_one(const struct template_offer *offer, const json_t *languages, void *data)
{
    struct search *search = data;
    weigh(&search->choice, offer, languages, search->language);
}

struct template_choice templates_find(const struct fleet *fleet, const char *language)
{
    struct search search = {.language = language};
    each_offer(fleet, weigh_one, &search);
    return search.choice;
}

struct search_all {
    const struct languages *languages;
    struct template_choice *choices;
};

static void weigh_all(const struct template_offer *offer, const json_t *languages, void *data)
{
    const struct search_all *search = data;
    for (size_t i = 0; i < languages_len(search->languages); i++)
        weigh(&search->choices[i], offer, languages, languages_at(search->languages, i)->name);
}

void templates_find_all(const struct fleet *fleet, const struct languages *languages,
                        struct template_choice *choices)
{
    struct search_all search = {languages, choices};
    memset(choices, 0, languages_len(languages) * sizeof(*choices));
    each_offer(fleet, weigh_all, &search);
}

/* A worker that was never reached may have anything, and without workers something else is wrong,
 * which the fleet explains.
 */
static bool all_known(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet_count(fleet); i++)
        if (!worker_get_figures(fleet_at(fleet, i)))
            return false;
    return fleet_count(fleet) > 0;
}

const char *templates_choose(const struct fleet *fleet, const struct language *language,
                             struct err *err)
{
    struct template_choice choice = templates_find(fleet, language->name);
    if (choice.name)
        return choice.name;
    if (!all_known(fleet))
        return language->template_name;
    err_set(err, ERR_NOT_AVAILABLE,
            "no worker has a template with the language \"%s\"; build one on a worker: sudo "
            "codeland template build %s",
            language->name, language->template_name);
    return NULL;
}
