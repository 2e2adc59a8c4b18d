#include "registry.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "names.h"

#include <string.h>

/* Available runners of one template; there is one for each template that has any. */
struct tally {
    char template_name[NAME_MAX_LEN + 1];
    size_t available;
};

/* A sorted array of pointers: a list answer is in order without sorting, and moving 10,000
 * pointers by one costs less than parsing the record that caused it.
 */
struct registry {
    struct runner_info **runners;
    size_t count, room;
    struct registry_counts counts;
    struct tally *tallies;
    size_t tally_count;
    struct names *names; /* NULL: it is on its own */
    struct worker *worker;
};

struct registry *registry_create(void)
{
    return mem_new(struct registry);
}

static struct tally *find_tally(const struct registry *registry, const char *template_name)
{
    for (size_t i = 0; i < registry->tally_count; i++)
        if (strcmp(registry->tallies[i].template_name, template_name) == 0)
            return &registry->tallies[i];
    return NULL;
}

static void tally_in(struct registry *registry, const char *template_name)
{
    struct tally *tally = find_tally(registry, template_name);
    if (!tally) {
        registry->tallies = mem_realloc(registry->tallies,
                                        (registry->tally_count + 1) * sizeof(*registry->tallies));
        tally = &registry->tallies[registry->tally_count++];
        *tally = (struct tally){0};
        str_format(tally->template_name, sizeof(tally->template_name), "%s", template_name);
    }
    tally->available++;
}

static void tally_out(struct registry *registry, const char *template_name)
{
    struct tally *tally = find_tally(registry, template_name);
    if (--tally->available == 0)
        *tally = registry->tallies[--registry->tally_count];
}

static void count_in(struct registry *registry, const struct runner_info *info)
{
    registry->counts.kept += info->kept;
    registry->counts.in_use += strcmp(info->state, "inUse") == 0;
    if (strcmp(info->state, "available") != 0)
        return;
    registry->counts.available++;
    tally_in(registry, info->template_name);
}

static void count_out(struct registry *registry, const struct runner_info *info)
{
    registry->counts.kept -= info->kept;
    registry->counts.in_use -= strcmp(info->state, "inUse") == 0;
    if (strcmp(info->state, "available") != 0)
        return;
    registry->counts.available--;
    tally_out(registry, info->template_name);
}

static void forget(struct registry *registry, struct runner_info *take_info)
{
    count_out(registry, take_info);
    if (registry->names)
        names_remove(registry->names, take_info);
    free(take_info);
}

void registry_doubt(struct registry *registry)
{
    for (size_t i = 0; i < registry->count; i++)
        registry->runners[i]->doubtful = true;
}

void registry_drop_doubtful(struct registry *registry)
{
    size_t kept = 0;
    for (size_t i = 0; i < registry->count; i++) {
        if (registry->runners[i]->doubtful)
            forget(registry, registry->runners[i]);
        else
            registry->runners[kept++] = registry->runners[i];
    }
    registry->count = kept;
}

void registry_join(struct registry *registry, struct names *names, struct worker *worker)
{
    registry->names = names;
    registry->worker = worker;
    for (size_t i = 0; i < registry->count; i++)
        names_add(names, worker, registry->runners[i]);
}

void registry_destroy(struct registry *registry)
{
    if (!registry)
        return;
    for (size_t i = 0; i < registry->count; i++)
        forget(registry, registry->runners[i]);
    free(registry->runners);
    free(registry->tallies);
    free(registry);
}

/* Where name is, or where it would be put. */
static size_t position(const struct registry *registry, const char *name, bool *found)
{
    size_t from = 0, to = registry->count;
    *found = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(registry->runners[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void add(struct registry *registry, size_t at, const struct runner_info *info)
{
    if (registry->count == registry->room) {
        registry->room = registry->room ? registry->room * 2 : 64;
        registry->runners =
            mem_realloc(registry->runners, registry->room * sizeof(*registry->runners));
    }
    memmove(registry->runners + at + 1, registry->runners + at,
            (registry->count - at) * sizeof(*registry->runners));
    registry->runners[at] = mem_new(struct runner_info);
    *registry->runners[at] = *info;
    registry->count++;
    count_in(registry, info);
    if (registry->names)
        names_add(registry->names, registry->worker, registry->runners[at]);
}

void registry_put(struct registry *registry, const struct runner_info *info)
{
    bool found;
    size_t at = position(registry, info->name, &found);
    if (!found) {
        add(registry, at, info);
        return;
    }
    count_out(registry, registry->runners[at]);
    *registry->runners[at] = *info;
    count_in(registry, info);
}

void registry_remove(struct registry *registry, const char *name)
{
    bool found;
    size_t at = position(registry, name, &found);
    if (!found)
        return;
    forget(registry, registry->runners[at]);
    registry->count--;
    memmove(registry->runners + at, registry->runners + at + 1,
            (registry->count - at) * sizeof(*registry->runners));
}

const struct runner_info *registry_find(const struct registry *registry, const char *name)
{
    bool found;
    size_t at = position(registry, name, &found);
    return found ? registry->runners[at] : NULL;
}

size_t registry_count(const struct registry *registry)
{
    return registry->count;
}

const struct runner_info *registry_at(const struct registry *registry, size_t index)
{
    return registry->runners[index];
}

const struct registry_counts *registry_get_counts(const struct registry *registry)
{
    return &registry->counts;
}

size_t registry_available(const struct registry *registry, const char *template_name)
{
    const struct tally *tally = find_tally(registry, template_name);
    return tally ? tally->available : 0;
}

static int get_text(const json_t *record, const char *key, bool required, char *text, size_t room,
                    struct err *err)
{
    const char *value = "";
    if (json_get_string(record, key, required, &value, NULL, err) != 0)
        return -1;
    size_t len = strlen(value);
    if (len >= room)
        return err_set(err, ERR_BAD_REQUEST, "%s: longer than %zu bytes", key, room - 1);
    memcpy(text, value, len + 1);
    return 0;
}

static int get_count(const json_t *record, const char *key, int64_t *value, struct err *err)
{
    return json_get_int(record, key, false, 0, INT64_MAX, value, err);
}

static int parse_history(const json_t *record, struct runner_info *info, struct err *err)
{
    json_t *history = NULL;
    if (json_get_array(record, "history", false, &history, err) != 0)
        return -1;
    size_t size = json_array_size(history);
    for (size_t i = size > RUNNER_HISTORY_MAX ? size - RUNNER_HISTORY_MAX : 0; i < size; i++) {
        const json_t *entry = json_array_get(history, i);
        const char *state = json_string_value(json_array_get(entry, 0));
        const json_t *time = json_array_get(entry, 1);
        if (!state || strlen(state) > RUNNER_WORD_LEN || !json_is_integer(time))
            return err_set(err, ERR_BAD_REQUEST, "history: must hold [state, time] pairs");
        strcpy(info->history[info->history_len].state, state);
        info->history[info->history_len++].time_ms = json_integer_value(time);
    }
    return 0;
}

int registry_parse(const json_t *record, struct runner_info *info, struct err *err)
{
    static const char *const keys[] = {"name",       "state",   "template", "owner", "kept",
                                       "pid",        "memory",  "since",    "runs",  "startedAt",
                                       "lastStatus", "history", NULL};
    *info = (struct runner_info){0};
    if (!json_is_object(record))
        return err_set(err, ERR_BAD_REQUEST, "a runner's record must be an object");
    if (json_only_keys(record, keys, err) != 0 ||
        get_text(record, "name", true, info->name, sizeof(info->name), err) != 0 ||
        get_text(record, "state", true, info->state, sizeof(info->state), err) != 0 ||
        get_text(record, "template", false, info->template_name, sizeof(info->template_name),
                 err) != 0 ||
        get_text(record, "owner", false, info->owner, sizeof(info->owner), err) != 0 ||
        get_text(record, "lastStatus", false, info->last_status, sizeof(info->last_status), err) !=
            0 ||
        json_get_bool(record, "kept", false, &info->kept, err) != 0 ||
        get_count(record, "pid", &info->pid, err) != 0 ||
        get_count(record, "memory", &info->memory_bytes, err) != 0 ||
        get_count(record, "since", &info->since_ms, err) != 0 ||
        get_count(record, "startedAt", &info->started_ms, err) != 0 ||
        get_count(record, "runs", &info->runs, err) != 0 || parse_history(record, info, err) != 0)
        return -1;
    if (!id_name_valid(info->name))
        return err_set(err, ERR_BAD_REQUEST, "name: \"%.50s\" is no runner's name", info->name);
    return 0;
}
