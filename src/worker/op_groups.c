#include "op_groups.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

/* How it works. A group is used by one operation, or free. A free one is `clean` when it was seen
 * empty at that operation's end; the others are looked at again, two at a time, when there is no
 * clean one. While a thread kills what is in a group it is not free.
 */
struct op_group {
    unsigned number;
    uint32_t id; /* of the operation, while used */
    bool used, clean;
    struct killing *killing; /* NULL: nobody kills in it */
    int join;
};

struct killing {
    uv_work_t work;
    const struct cgroup *cgroup;
    struct op_group *group; /* NULL once the groups are forgotten */
    char name[NAME_MAX_LEN + 1];
    unsigned number;
};

#define PROBES 2

void op_groups_init(struct op_groups *groups, const struct cgroup *cgroup, uv_loop_t *loop,
                    const char *name)
{
    *groups = (struct op_groups){.cgroup = cgroup, .loop = loop, .name = name};
}

void op_groups_adopt(struct op_groups *groups)
{
    groups->next = cgroup_operation_count(groups->cgroup, groups->name);
}

static bool is_free(const struct op_group *group)
{
    return !group->used && !group->killing;
}

static struct op_group *find_free(struct op_groups *groups)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (is_free(groups->list[i]) && groups->list[i]->clean)
            return groups->list[i];
    for (unsigned i = 0; i < PROBES && i < groups->count; i++) {
        struct op_group *group = groups->list[groups->probe++ % groups->count];
        if (is_free(group) && cgroup_operation_empty(groups->cgroup, groups->name, group->number))
            return group;
    }
    return NULL;
}

static struct op_group *make(struct op_groups *groups, struct err *err)
{
    int join = cgroup_operation_create(groups->cgroup, groups->name, groups->next, err);
    if (join < 0)
        return NULL;
    if (groups->count == groups->room) {
        groups->room = groups->room ? 2 * groups->room : 4;
        groups->list = mem_realloc(groups->list, groups->room * sizeof(struct op_group *));
    }
    struct op_group *group = mem_new(struct op_group);
    group->number = groups->next++;
    group->join = join;
    groups->list[groups->count++] = group;
    return group;
}

int op_groups_open(struct op_groups *groups, uint32_t id, struct err *err)
{
    struct op_group *group = find_free(groups);
    if (!group)
        group = make(groups, err);
    if (!group)
        return -1;
    group->used = true;
    group->id = id;
    return group->join;
}

static struct op_group *find_used(const struct op_groups *groups, uint32_t id)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (groups->list[i]->used && groups->list[i]->id == id)
            return groups->list[i];
    return NULL;
}

static void note_end(const struct op_groups *groups, struct op_group *group)
{
    group->used = false;
    group->clean =
        !group->killing && cgroup_operation_empty(groups->cgroup, groups->name, group->number);
}

static void kill_on_thread(uv_work_t *work)
{
    const struct killing *killing = work->data;
    cgroup_operation_kill(killing->cgroup, killing->name, killing->number);
}

static void on_killed(uv_work_t *work, int status)
{
    struct killing *killing = work->data;
    (void)status;
    if (killing->group)
        killing->group->killing = NULL;
    free(killing);
}

void op_groups_kill(struct op_groups *groups, uint32_t id)
{
    struct op_group *group = find_used(groups, id);
    if (!group || group->killing)
        return;
    if (strcmp(cgroup_version(groups->cgroup), "v2") == 0) {
        cgroup_operation_kill(groups->cgroup, groups->name, group->number);
        return;
    }
    struct killing *killing = mem_new(struct killing);
    killing->work.data = killing;
    killing->cgroup = groups->cgroup;
    killing->group = group;
    killing->number = group->number;
    str_format(killing->name, sizeof(killing->name), "%s", groups->name);
    group->killing = killing;
    uv_queue_work(groups->loop, &killing->work, kill_on_thread, on_killed);
}

void op_groups_end(struct op_groups *groups, uint32_t id)
{
    struct op_group *group = find_used(groups, id);
    if (group)
        note_end(groups, group);
}

void op_groups_finish(struct op_groups *groups)
{
    for (unsigned i = 0; i < groups->count; i++) {
        struct op_group *group = groups->list[i];
        if (group->killing)
            group->killing->group = NULL;
        fd_close(&group->join);
        free(group);
    }
    free(groups->list);
    groups->list = NULL;
    groups->count = groups->room = 0;
}
