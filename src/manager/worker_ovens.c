#include "worker.h"

#include "../common/json.h"

#include <string.h>

#define LANGUAGES_MAX 128
#define LANGUAGE_TEXT_MAX 64

static int copy(const json_t *json, const char *key, char *value, size_t room, struct err *err)
{
    const char *found = "";
    if (json_get_string(json, key, false, &found, NULL, err) != 0)
        return -1;
    size_t len = strlen(found);
    if (len >= room)
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %zu bytes", key, room - 1);
    memcpy(value, found, len + 1);
    return 0;
}

static int check_languages(const json_t *json, struct err *err)
{
    static const char *const keys[] = {"name", "version", NULL};
    json_t *languages = NULL;
    if (json_get_array(json, "languages", false, &languages, err) != 0)
        return -1;
    if (json_array_size(languages) > LANGUAGES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "languages: %zu entries, at most %d",
                       json_array_size(languages), LANGUAGES_MAX);
    for (size_t i = 0; i < json_array_size(languages); i++) {
        const json_t *language = json_array_get(languages, i);
        char text[LANGUAGE_TEXT_MAX + 1];
        const char *name = NULL;
        if (!json_is_object(language))
            return err_set(err, ERR_BAD_REQUEST, "languages: must hold objects");
        if (json_only_keys(language, keys, err) != 0 ||
            json_get_string(language, "name", true, &name, NULL, err) != 0 ||
            copy(language, "name", text, sizeof(text), err) != 0 ||
            copy(language, "version", text, sizeof(text), err) != 0)
            return err_context(err, "languages");
    }
    return 0;
}

int worker_parse_oven(const json_t *json, struct worker_oven *oven, struct err *err)
{
    static const char *const keys[] = {
        "name",      "made",       "bytes",   "languages", "status",  "message", "cooking",
        "available", "inUse",      "freeing", "count",     "waiting", "target",  "minAvailable",
        "memTarget", "maxRunners", "paused",  "draining",  "cookMs",  NULL};
    const struct {
        const char *key;
        int64_t *value;
    } amounts[] = {
        {"bytes", &oven->bytes},
        {"cooking", &oven->cooking},
        {"available", &oven->available},
        {"inUse", &oven->in_use},
        {"freeing", &oven->freeing},
        {"count", &oven->count},
        {"waiting", &oven->waiting},
        {"target", &oven->target},
        {"minAvailable", &oven->min_available},
        {"memTarget", &oven->mem_target},
        {"maxRunners", &oven->max_runners},
    };
    if (!json_is_object(json))
        return err_set(err, ERR_BAD_REQUEST, "must hold objects");
    if (json_only_keys(json, keys, err) != 0 ||
        copy(json, "name", oven->name, sizeof(oven->name), err) != 0 ||
        copy(json, "made", oven->made, sizeof(oven->made), err) != 0 ||
        copy(json, "status", oven->status, sizeof(oven->status), err) != 0 ||
        copy(json, "message", oven->message, sizeof(oven->message), err) != 0 ||
        json_get_bool(json, "paused", false, &oven->paused, err) != 0 ||
        json_get_bool(json, "draining", false, &oven->draining, err) != 0 ||
        json_get_number(json, "cookMs", false, 0, 1e12, &oven->cook_ms, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
        if (json_get_int(json, amounts[i].key, false, 0, INT64_MAX, amounts[i].value, err) != 0)
            return -1;
    if (!id_name_valid(oven->name))
        return err_set(err, ERR_BAD_REQUEST, "name: \"%.50s\" is no template's name", oven->name);
    return check_languages(json, err);
}

/* Of a worker that has one oven and tells no more of it. */
static void take_the_one(struct worker_figures *figures)
{
    struct worker_oven *oven = &figures->ovens[0];
    memcpy(oven->name, figures->oven.template_name, sizeof(oven->name));
    memcpy(oven->status, figures->oven.status, sizeof(oven->status));
    memcpy(oven->message, figures->oven.message, sizeof(oven->message));
    oven->cooking = figures->oven.cooking;
    oven->available = figures->oven.available;
    oven->in_use = figures->oven.in_use;
    oven->freeing = figures->oven.freeing;
    oven->count = figures->oven.count;
    oven->waiting = figures->oven.waiting;
    oven->target = oven->min_available = figures->oven.min_available;
    oven->mem_target = figures->oven.mem_target;
    oven->max_runners = figures->oven.max_runners;
    oven->cook_ms = figures->oven.cook_ms;
    figures->ovens_len = 1;
}

int worker_parse_ovens(const json_t *json, struct worker_figures *figures, struct err *err)
{
    json_t *templates = NULL;
    if (json_get_array(json, "templates", false, &templates, err) != 0)
        return -1;
    if (!templates) {
        take_the_one(figures);
        return 0;
    }
    if (json_array_size(templates) > WORKER_OVENS_MAX)
        return err_set(err, ERR_BAD_REQUEST, "templates: %zu entries, at most %d",
                       json_array_size(templates), WORKER_OVENS_MAX);
    for (size_t i = 0; i < json_array_size(templates); i++)
        if (worker_parse_oven(json_array_get(templates, i), &figures->ovens[i], err) != 0)
            return err_context(err, "templates[%zu]", i);
    figures->ovens_len = json_array_size(templates);
    return 0;
}

const struct worker_oven *worker_oven(const struct worker *worker, const char *template_name)
{
    const struct worker_figures *figures = worker_get_figures(worker);
    if (!figures)
        return NULL;
    if (!template_name[0])
        template_name = figures->oven.template_name;
    for (size_t i = 0; i < figures->ovens_len; i++)
        if (strcmp(figures->ovens[i].name, template_name) == 0)
            return &figures->ovens[i];
    return NULL;
}
