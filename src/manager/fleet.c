#include "fleet.h"

#include "../common/mem.h"

struct fleet {
    struct worker **workers;
    size_t count;
};

struct fleet *fleet_create(void)
{
    return mem_new(struct fleet);
}

void fleet_destroy(struct fleet *fleet)
{
    if (!fleet)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        worker_destroy(fleet->workers[i]);
    free(fleet->workers);
    free(fleet);
}

void fleet_add(struct fleet *fleet, struct worker *take_worker)
{
    fleet->workers = mem_realloc(fleet->workers, (fleet->count + 1) * sizeof(*fleet->workers));
    fleet->workers[fleet->count++] = take_worker;
}

struct worker *fleet_pick(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++)
        if (worker_up(fleet->workers[i]))
            return fleet->workers[i];
    return fleet->count ? fleet->workers[0] : NULL;
}

struct worker *fleet_find(const struct fleet *fleet, const char *runner,
                          const struct runner_info **info)
{
    for (size_t i = 0; i < fleet->count; i++) {
        *info = registry_find(worker_runners(fleet->workers[i]), runner);
        if (*info)
            return fleet->workers[i];
    }
    return NULL;
}

size_t fleet_count(const struct fleet *fleet)
{
    return fleet->count;
}

struct worker *fleet_at(const struct fleet *fleet, size_t index)
{
    return fleet->workers[index];
}
