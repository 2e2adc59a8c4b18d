#include "oven_change.h"

#include "json.h"

#include <string.h>

#define RUNNERS_MOST 10000 /* that of oven.max_runners and oven.min_available */

static int get_flag(const json_t *json, const char *key, int *flag, struct err *err)
{
    bool value = false;
    if (json_get_bool(json, key, false, &value, err) != 0)
        return -1;
    const json_t *found = json_object_get(json, key);
    if (found && !json_is_null(found))
        *flag = value;
    return 0;
}

void oven_change_none(struct oven_change *change)
{
    *change = (struct oven_change){.min_available = -1,
                                   .max_runners = -1,
                                   .mem_target_percent = -1,
                                   .paused = -1,
                                   .draining = -1};
}

int oven_change_set_template(struct oven_change *change, const char *name, struct err *err)
{
    if (name[0] && !id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST, "template: must match [a-z][a-z0-9-]{0,40}");
    strcpy(change->template_name, name);
    return 0;
}

int oven_change_parse(const char *text, size_t len, struct oven_change *change, struct err *err)
{
    static const char *const keys[] = {"template", "minAvailable", "memTarget", "maxRunners",
                                       "paused",   "draining",     NULL};
    cleanup_json json_t *json = json_parse_object(text, len, false, err);
    const char *name = "";
    oven_change_none(change);
    if (!json || json_only_keys(json, keys, err) != 0 ||
        json_get_string(json, "template", false, &name, NULL, err) != 0 ||
        json_get_int(json, "minAvailable", false, 0, RUNNERS_MOST, &change->min_available, err) !=
            0 ||
        json_get_int(json, "memTarget", false, 0, 100, &change->mem_target_percent, err) != 0 ||
        json_get_int(json, "maxRunners", false, 1, RUNNERS_MOST, &change->max_runners, err) != 0 ||
        get_flag(json, "paused", &change->paused, err) != 0 ||
        get_flag(json, "draining", &change->draining, err) != 0)
        return -1;
    return oven_change_set_template(change, name, err);
}

static void put_number(json_t *json, const char *key, int64_t value)
{
    if (value >= 0)
        json_object_set_new(json, key, json_integer(value));
}

static void put_flag(json_t *json, const char *key, int value)
{
    if (value >= 0)
        json_object_set_new(json, key, json_boolean(value));
}

json_t *oven_change_json(const struct oven_change *change)
{
    json_t *json = json_object();
    if (change->template_name[0])
        json_object_set_new(json, "template", json_string(change->template_name));
    put_number(json, "minAvailable", change->min_available);
    put_number(json, "memTarget", change->mem_target_percent);
    put_number(json, "maxRunners", change->max_runners);
    put_flag(json, "paused", change->paused);
    put_flag(json, "draining", change->draining);
    return json;
}
