#include "names.h"

#include "../common/ids.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "worker.h"

#include <string.h>

#define BUCKETS_LEAST 64

/* A runner, or with no info a name that is reserved. */
struct entry {
    struct entry *next;
    uint64_t hash;
    struct worker *worker;
    const struct runner_info *info;
    char reserved[NAME_MAX_LEN + 1];
};

struct names {
    struct entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t runners, entries;
    uint64_t seed; /* people choose names: they must not be able to choose a bucket */
};

struct names *names_create(void)
{
    struct names *names = mem_new(struct names);
    char hex[17];
    id_random_hex(hex, 16);
    memcpy(&names->seed, hex, sizeof(names->seed));
    names->bucket_count = BUCKETS_LEAST;
    names->buckets = mem_calloc(names->bucket_count, sizeof(struct entry *));
    return names;
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < names->bucket_count; i++) {
        while (names->buckets[i]) {
            struct entry *entry = names->buckets[i];
            names->buckets[i] = entry->next;
            free(entry);
        }
    }
    free(names->buckets);
    free(names);
}

/* FNV-1a, begun with the seed. */
static uint64_t hash_of(const struct names *names, const char *name)
{
    uint64_t hash = 0xCBF29CE484222325U ^ names->seed;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001B3U;
    return hash ^ (hash >> 32);
}

static struct entry **bucket_of(const struct names *names, uint64_t hash)
{
    return &names->buckets[hash & (names->bucket_count - 1)];
}

static const char *name_of(const struct entry *entry)
{
    return entry->info ? entry->info->name : entry->reserved;
}

static void grow(struct names *names)
{
    size_t old_count = names->bucket_count;
    struct entry **old = names->buckets;
    names->bucket_count *= 2;
    names->buckets = mem_calloc(names->bucket_count, sizeof(struct entry *));
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct entry *entry = old[i];
            struct entry **bucket = bucket_of(names, entry->hash);
            old[i] = entry->next;
            entry->next = *bucket;
            *bucket = entry;
        }
    }
    free(old);
}

static void put(struct names *names, struct entry *entry)
{
    if (names->entries++ == names->bucket_count)
        grow(names);
    struct entry **bucket = bucket_of(names, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
}

static void drop(struct names *names, struct entry **place)
{
    struct entry *entry = *place;
    *place = entry->next;
    names->entries--;
    free(entry);
}

/* Whether a has the better claim to the name that both have. */
static bool wins(const struct entry *a, const struct entry *b)
{
    if (a->info->kept != b->info->kept)
        return a->info->kept;
    if (a->info->started_ms != b->info->started_ms)
        return a->info->started_ms < b->info->started_ms;
    return strcmp(worker_name(a->worker), worker_name(b->worker)) < 0;
}

static const struct entry *find(const struct names *names, const char *name)
{
    const struct entry *best = NULL;
    uint64_t hash = hash_of(names, name);
    for (const struct entry *entry = *bucket_of(names, hash); entry; entry = entry->next)
        if (entry->hash == hash && entry->info && strcmp(entry->info->name, name) == 0 &&
            (!best || wins(entry, best)))
            best = entry;
    return best;
}

void names_add(struct names *names, struct worker *worker, const struct runner_info *info)
{
    const struct entry *other = find(names, info->name);
    if (other)
        log_warn("two workers have a runner of one name", LOG_S("runner", info->name),
                 LOG_S("worker", worker_name(worker)), LOG_S("other", worker_name(other->worker)));
    struct entry *entry = mem_new(struct entry);
    entry->hash = hash_of(names, info->name);
    entry->worker = worker;
    entry->info = info;
    names->runners++;
    put(names, entry);
}

void names_remove(struct names *names, const struct runner_info *info)
{
    struct entry **place = bucket_of(names, hash_of(names, info->name));
    for (; *place; place = &(*place)->next) {
        if ((*place)->info == info) {
            names->runners--;
            drop(names, place);
            return;
        }
    }
}

struct worker *names_find(const struct names *names, const char *name,
                          const struct runner_info **info)
{
    const struct entry *entry = find(names, name);
    *info = entry ? entry->info : NULL;
    return entry ? entry->worker : NULL;
}

size_t names_count(const struct names *names)
{
    return names->runners;
}

int names_reserve(struct names *names, const char *name, struct err *err)
{
    uint64_t hash = hash_of(names, name);
    for (const struct entry *entry = *bucket_of(names, hash); entry; entry = entry->next)
        if (entry->hash == hash && strcmp(name_of(entry), name) == 0)
            return err_set(err, ERR_NAME_TAKEN, "name: there is a runner %s already", name);
    struct entry *entry = mem_new(struct entry);
    entry->hash = hash;
    str_format(entry->reserved, sizeof(entry->reserved), "%s", name);
    put(names, entry);
    return 0;
}

void names_release(struct names *names, const char *name)
{
    struct entry **place = bucket_of(names, hash_of(names, name));
    for (; *place; place = &(*place)->next) {
        if (!(*place)->info && strcmp((*place)->reserved, name) == 0) {
            drop(names, place);
            return;
        }
    }
}
