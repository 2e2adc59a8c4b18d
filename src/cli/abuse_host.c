#include "abuse_host.h"

#include "../common/json.h"
#include "../common/str.h"

#include <string.h>

enum kind {
    LIST,   /* of lines: the same ones */
    ABSENT, /* of lines: none that was not there */
    NUMBER, /* no more than before, but for its slack */
};

static const struct item {
    const char *what, *part, *key;
    enum kind kind;
    bool by_runner; /* each runner has some: comparable with as many runners alone */
    int64_t slack;
} items[ABUSE_HOST_ITEMS] = {
    {"processes and groups", "worker", "strays", ABSENT, false, 0},
    {"mounts", "worker", "mounts", ABSENT, false, 0},
    {"interfaces", "worker", "interfaces", LIST, false, 0},
    {"addresses", "worker", "addresses", LIST, false, 0},
    {"firewall rules", "worker", "rules", LIST, false, 0},
    {"descriptors", "worker", "descriptors", NUMBER, true, 0},
    {"files", "worker", "files", NUMBER, true, 0},
    {"shared memory", "worker", "memory.shared", NUMBER, true, 64 << 20},
    {"kernel memory", "worker", "memory.kernel", NUMBER, true, 128 << 20},
    {"the worker's memory", "worker", "memory.worker", NUMBER, true, 16 << 20},
    {"the manager's descriptors", "manager", "descriptors", NUMBER, false, 0},
    {"the manager's memory", "manager", "memory", NUMBER, false, 32 << 20},
};

json_t *abuse_host_take(const struct api *api, const char *worker, struct err *err)
{
    char path[200];
    if (!str_format(path, sizeof(path), "/workers/%s/footprint", worker)) {
        err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is no worker's name", worker);
        return NULL;
    }
    return api_ask(api, "GET", path, NULL, err);
}

json_t *abuse_host_workers(const struct api *api, struct err *err)
{
    size_t i;
    json_t *worker;
    cleanup_json json_t *answer = api_ask(api, "GET", "/workers", NULL, err);
    if (!answer)
        return NULL;
    json_t *names = json_array();
    json_array_foreach(json_object_get(answer, "workers"), i, worker)
    {
        const char *state =
            json_string_value(json_object_get(json_object_get(worker, "link"), "state"));
        if (state && strcmp(state, "up") == 0)
            json_array_append(names, json_object_get(worker, "name"));
    }
    return names;
}

void abuse_host_addresses(const json_t *footprint, char *text, size_t room)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(json_object_get(footprint, "worker"), "addresses"), i, line)
    {
        const char *words = json_string_value(line);
        const char *address = words ? strrchr(words, ' ') : NULL;
        size_t len = strlen(text);
        if (address && !strchr(address, ':') && !str_starts_with(address, " 127.") &&
            len + strlen(address) + 1 < room)
            str_format(text + len, room - len, "%s%s", len ? "," : "", address + 1);
    }
}

/* ---- comparing ---- */

static const json_t *look_up(const json_t *footprint, const struct item *item)
{
    const json_t *part = json_object_get(footprint, item->part);
    const char *dot = strchr(item->key, '.');
    if (!dot)
        return json_object_get(part, item->key);
    char outer[32];
    str_format(outer, sizeof(outer), "%.*s", (int)(dot - item->key), item->key);
    return json_object_get(json_object_get(part, outer), dot + 1);
}

/* Lines of one list that the other has not, or fewer of: their number, and the first. */
static size_t surplus(const json_t *list, const json_t *other, const char **first)
{
    cleanup_json json_t *left = json_copy((json_t *)other);
    size_t i, at, count = 0;
    json_t *line, *same;
    json_array_foreach((json_t *)list, i, line)
    {
        json_array_foreach(left, at, same)
        {
            if (json_equal(line, same))
                break;
        }
        if (at < json_array_size(left)) {
            json_array_remove(left, at);
            continue;
        }
        if (count++ == 0)
            *first = json_string_value(line);
    }
    return count;
}

static void compare_lists(const struct item *item, const json_t *before, const json_t *after,
                          struct abuse_host_finding *finding)
{
    const char *first = NULL;
    size_t more = surplus(after, before, &first);
    if (more > 0) {
        finding->verdict = ABUSE_FAILED;
        str_format(finding->why, sizeof(finding->why), "%zu more than before, such as: %.300s",
                   more, first ? first : "");
        return;
    }
    size_t fewer = item->kind == LIST ? surplus(before, after, &first) : 0;
    if (fewer == 0)
        return;
    finding->verdict = ABUSE_FAILED;
    str_format(finding->why, sizeof(finding->why), "%zu of before are gone, such as: %.300s", fewer,
               first ? first : "");
}

static json_int_t runners_of(const json_t *footprint)
{
    return json_integer_value(json_object_get(json_object_get(footprint, "worker"), "runners"));
}

static void compare_one(const struct item *item, const json_t *before, const json_t *after,
                        struct abuse_host_finding *finding)
{
    const json_t *was = look_up(before, item), *is = look_up(after, item);
    bool comparable = item->kind == NUMBER ? json_is_integer(was) && json_is_integer(is)
                                           : json_is_array(was) && json_is_array(is);
    *finding = (struct abuse_host_finding){.what = item->what, .verdict = ABUSE_HELD};
    if (!comparable) {
        const json_t *why = json_object_get(json_object_get(after, item->part), "rulesWhy");
        finding->verdict = ABUSE_NOT_APPLICABLE;
        str_format(finding->why, sizeof(finding->why), "the worker cannot tell%s%.300s",
                   json_is_string(why) ? ": " : "",
                   json_is_string(why) ? json_string_value(why) : "");
    } else if (item->kind != NUMBER) {
        compare_lists(item, was, is, finding);
    } else if (item->by_runner && runners_of(before) != runners_of(after)) {
        finding->verdict = ABUSE_NOT_APPLICABLE;
        str_format(finding->why, sizeof(finding->why),
                   "there were %lld runners before, and now there are %lld",
                   (long long)runners_of(before), (long long)runners_of(after));
    } else if (json_integer_value(is) > json_integer_value(was) + item->slack) {
        finding->verdict = ABUSE_FAILED;
        str_format(finding->why, sizeof(finding->why), "%lld before, now %lld",
                   (long long)json_integer_value(was), (long long)json_integer_value(is));
    }
}

void abuse_host_compare(const json_t *before, const json_t *after,
                        struct abuse_host_finding findings[ABUSE_HOST_ITEMS])
{
    for (size_t i = 0; i < ABUSE_HOST_ITEMS; i++)
        compare_one(&items[i], before, after, &findings[i]);
}
