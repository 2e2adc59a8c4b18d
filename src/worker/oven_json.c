#include "oven_json.h"

#include "../common/str.h"
#include "pantry.h"

#include <string.h>

json_t *oven_json_describe(const struct services *services, const struct oven *oven)
{
    const char *name = oven_template_name(oven);
    const struct template_info *info = pantry_info(services->pantry, name);
    const json_t *languages = pantry_languages(services->pantry, name);
    const struct oven_settings *settings = oven_get_settings(oven);
    struct oven_figures figures;
    oven_get_figures(oven, &figures);
    const char *message = figures.message; /* may have been cut inside a character */
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:s, s:s%, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:b, s:b, "
        "s:f}",
        "name", name, "made", info ? info->made : "", "bytes",
        (json_int_t)(info ? info->size_bytes : 0), "status", oven_status_name(figures.status),
        "message", message, str_utf8_valid(message, strlen(message)), "cooking",
        (int)figures.cooking, "available", (int)figures.available, "inUse", (int)figures.in_use,
        "freeing", (int)figures.freeing, "count", (int)figures.total, "waiting",
        (int)figures.waiting, "target", (int)figures.target, "minAvailable",
        (json_int_t)settings->min_available, "memTarget", (json_int_t)settings->mem_target_percent,
        "maxRunners", (json_int_t)settings->max_runners, "paused", settings->mode == OVEN_IS_PAUSED,
        "draining", settings->mode == OVEN_IS_DRAINED, "cookMs",
        (double)figures.cook_us / US_PER_MS);
    json_object_set_new(json, "languages",
                        languages ? json_incref((json_t *)languages) : json_array());
    return json;
}

struct list {
    const struct services *services;
    json_t *json;
};

static void append(struct oven *oven, void *data)
{
    const struct list *list = data;
    json_array_append_new(list->json, oven_json_describe(list->services, oven));
}

json_t *oven_json_list(const struct services *services)
{
    struct list list = {services, json_array()};
    ovens_each(services->ovens, append, &list);
    return list.json;
}

json_t *oven_json_default(const struct services *services)
{
    const struct oven *oven = ovens_find(services->ovens, "");
    const struct oven_settings *settings = oven_get_settings(oven);
    const struct roster *roster = services->roster;
    struct oven_figures figures;
    oven_get_figures(oven, &figures);
    const char *message = figures.message;
    return json_pack(
        "{s:s, s:s, s:s%, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:f}", "template",
        oven_template_name(oven), "status", oven_status_name(figures.status), "message", message,
        str_utf8_valid(message, strlen(message)), "cooking", (int)figures.cooking, "available",
        (int)figures.available, "inUse", (int)roster_count(roster, RUNNER_IN_USE), "freeing",
        (int)roster_count(roster, RUNNER_FREEING), "count", (int)roster_total(roster), "waiting",
        (int)figures.waiting, "minAvailable", (json_int_t)settings->min_available, "memTarget",
        (json_int_t)settings->mem_target_percent, "memCeiling",
        (json_int_t)services->config->oven_mem_ceiling, "maxRunners",
        (json_int_t)settings->max_runners, "cookMs", (double)figures.cook_us / US_PER_MS);
}

int oven_json_change(const struct services *services, struct oven *oven,
                     const struct oven_change *change, struct err *err)
{
    struct oven_settings settings = *oven_get_settings(oven);
    bool paused = settings.mode == OVEN_IS_PAUSED, draining = settings.mode == OVEN_IS_DRAINED;
    if (change->max_runners > services->config->oven_max_runners)
        return err_set(err, ERR_BAD_REQUEST, "maxRunners: at most %d, which is oven.max_runners",
                       (int)services->config->oven_max_runners);
    if (change->min_available >= 0)
        settings.min_available = (unsigned)change->min_available;
    if (change->max_runners >= 0)
        settings.max_runners = (unsigned)change->max_runners;
    if (change->mem_target_percent >= 0)
        settings.mem_target_percent = (unsigned)change->mem_target_percent;
    if (change->paused >= 0)
        paused = change->paused;
    if (change->draining >= 0)
        draining = change->draining;
    settings.mode = draining ? OVEN_IS_DRAINED : paused ? OVEN_IS_PAUSED : OVEN_COOKS;
    oven_set_settings(oven, &settings);
    return 0;
}
