#include "worker.h"

#include "../common/json.h"

#include <string.h>

static int text(const json_t *object, const char *key, char *value, size_t room, struct err *err)
{
    const char *found = "";
    if (json_get_string(object, key, false, &found, NULL, err) != 0)
        return -1;
    size_t len = strlen(found);
    if (len >= room)
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %zu bytes", key, room - 1);
    memcpy(value, found, len + 1);
    return 0;
}

static int amount(const json_t *object, const char *key, int64_t *value, struct err *err)
{
    return json_get_int(object, key, false, 0, INT64_MAX, value, err);
}

static int parse_worker(const json_t *json, struct worker_figures *figures, struct err *err)
{
    static const char *const keys[] = {"name",   "version", "startedAt", "kernel",
                                       "cgroup", "user",    NULL};
    json_t *worker = NULL;
    if (json_get_object(json, "worker", true, &worker, err) != 0 ||
        json_only_keys(worker, keys, err) != 0 ||
        text(worker, "name", figures->name, sizeof(figures->name), err) != 0 ||
        text(worker, "version", figures->version, sizeof(figures->version), err) != 0 ||
        text(worker, "kernel", figures->kernel, sizeof(figures->kernel), err) != 0 ||
        text(worker, "cgroup", figures->cgroup, sizeof(figures->cgroup), err) != 0 ||
        text(worker, "user", figures->user, sizeof(figures->user), err) != 0)
        return -1;
    return amount(worker, "startedAt", &figures->started_ms, err);
}

static int parse_host(const json_t *json, struct worker_figures *figures, struct err *err)
{
    static const char *const memory_keys[] = {"total",     "free",     "available", "used",
                                              "swapTotal", "swapFree", NULL};
    static const char *const disk_keys[] = {"path", "filesystem", "total",
                                            "used", "available",  NULL};
    json_t *memory = NULL, *disk = NULL, *load = NULL;
    if (json_get_object(json, "memory", true, &memory, err) != 0 ||
        json_only_keys(memory, memory_keys, err) != 0 ||
        amount(memory, "total", &figures->memory.total, err) != 0 ||
        amount(memory, "free", &figures->memory.free, err) != 0 ||
        amount(memory, "available", &figures->memory.available, err) != 0 ||
        amount(memory, "used", &figures->memory.used, err) != 0 ||
        amount(memory, "swapTotal", &figures->memory.swap_total, err) != 0 ||
        amount(memory, "swapFree", &figures->memory.swap_free, err) != 0)
        return err_context(err, "memory");
    if (json_get_object(json, "disk", true, &disk, err) != 0 ||
        json_only_keys(disk, disk_keys, err) != 0 ||
        text(disk, "path", figures->disk.path, sizeof(figures->disk.path), err) != 0 ||
        text(disk, "filesystem", figures->disk.filesystem, sizeof(figures->disk.filesystem), err) !=
            0 ||
        amount(disk, "total", &figures->disk.total, err) != 0 ||
        amount(disk, "used", &figures->disk.used, err) != 0 ||
        amount(disk, "available", &figures->disk.available, err) != 0)
        return err_context(err, "disk");
    if (json_get_array(json, "load", false, &load, err) != 0)
        return -1;
    for (size_t i = 0; i < 3; i++)
        figures->load[i] = json_number_value(json_array_get(load, i));
    return 0;
}

static int parse_oven(const json_t *json, struct worker_figures *figures, struct err *err)
{
    static const char *const keys[] = {"template",     "status",    "message",    "cooking",
                                       "available",    "inUse",     "freeing",    "count",
                                       "minAvailable", "memTarget", "memCeiling", "maxRunners",
                                       "cookMs",       "waiting",   NULL};
    json_t *oven = NULL;
    if (json_get_object(json, "oven", true, &oven, err) != 0 ||
        json_only_keys(oven, keys, err) != 0 ||
        text(oven, "template", figures->oven.template_name, sizeof(figures->oven.template_name),
             err) != 0 ||
        text(oven, "status", figures->oven.status, sizeof(figures->oven.status), err) != 0 ||
        text(oven, "message", figures->oven.message, sizeof(figures->oven.message), err) != 0 ||
        amount(oven, "cooking", &figures->oven.cooking, err) != 0 ||
        amount(oven, "available", &figures->oven.available, err) != 0 ||
        amount(oven, "inUse", &figures->oven.in_use, err) != 0 ||
        amount(oven, "freeing", &figures->oven.freeing, err) != 0 ||
        amount(oven, "count", &figures->oven.count, err) != 0 ||
        amount(oven, "waiting", &figures->oven.waiting, err) != 0 ||
        amount(oven, "minAvailable", &figures->oven.min_available, err) != 0 ||
        amount(oven, "memTarget", &figures->oven.mem_target, err) != 0 ||
        amount(oven, "memCeiling", &figures->oven.mem_ceiling, err) != 0 ||
        amount(oven, "maxRunners", &figures->oven.max_runners, err) != 0 ||
        json_get_number(oven, "cookMs", false, 0, 1e12, &figures->oven.cook_ms, err) != 0)
        return err_context(err, "oven");
    return 0;
}

int worker_parse_figures(const json_t *json, struct worker_figures *figures, json_t **runners,
                         struct err *err)
{
    static const char *const keys[] = {"worker", "memory",    "disk",    "load",
                                       "oven",   "templates", "runners", NULL};
    *figures = (struct worker_figures){0};
    *runners = NULL;
    if (json_only_keys(json, keys, err) != 0 || parse_worker(json, figures, err) != 0 ||
        parse_host(json, figures, err) != 0 || parse_oven(json, figures, err) != 0 ||
        worker_parse_ovens(json, figures, err) != 0)
        return -1;
    return json_get_array(json, "runners", false, runners, err);
}
