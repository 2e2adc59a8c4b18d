#include "placement.h"

struct rank {
    int warmth;
    int memory;
    int64_t pending;
};

/* Quarters of a doubling. */
static int memory_step(int64_t bytes)
{
    if (bytes < 4)
        return bytes > 0 ? (int)bytes : 0;
    int top = 63 - __builtin_clzll((unsigned long long)bytes);
    return top * 4 + (int)((bytes >> (top - 2)) & 3);
}

static struct rank rank_of(const struct placement_worker *worker)
{
    struct rank rank = {
        .memory = memory_step(worker->memory_bytes),
        .pending = worker->pending,
    };
    if (worker->warm > worker->pending)
        rank.warmth = 2;
    else if (worker->can_cook)
        rank.warmth = 1;
    return rank;
}

/* Above 0 when a is the better one. */
static int compare(const struct rank *a, const struct rank *b)
{
    if (a->warmth != b->warmth)
        return a->warmth > b->warmth ? 1 : -1;
    if (a->memory != b->memory)
        return a->memory > b->memory ? 1 : -1;
    return (a->pending < b->pending) - (a->pending > b->pending);
}

/* splitmix64: neighbouring numbers must not give neighbouring choices. */
static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

bool placement_eligible(const struct placement_worker *worker)
{
    return worker->up && !worker->draining && !worker->failing && !worker->tried &&
           worker->has_template;
}

size_t placement_choose(const struct placement_worker *workers, size_t count, uint64_t spread)
{
    size_t best = PLACEMENT_NONE;
    uint64_t equals = 0;
    struct rank best_rank = {0};
    for (size_t i = 0; i < count; i++) {
        if (!placement_eligible(&workers[i]))
            continue;
        struct rank rank = rank_of(&workers[i]);
        int order = best == PLACEMENT_NONE ? 1 : compare(&rank, &best_rank);
        if (order < 0)
            continue;
        equals = order > 0 ? 1 : equals + 1;
        /* The nth of equals is taken with a chance of one in n: each ends up with the same. */
        if (order > 0 || mix(&spread) % equals == 0) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}
