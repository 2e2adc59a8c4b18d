#include "link.h"

#include "../common/mem.h"

struct local {
    char *path;
};

static struct chan *local_connect(void *self, uv_loop_t *loop, const struct chan_ops *ops,
                                  void *data, struct err *err)
{
    const struct local *local = self;
    return chan_connect(loop, local->path, ops, data, err);
}

static const char *local_location(const void *self)
{
    (void)self;
    return "local";
}

static void local_destroy(void *self)
{
    struct local *local = self;
    free(local->path);
    free(local);
}

static const struct link_transport local_transport = {
    .connect = local_connect,
    .location = local_location,
    .destroy = local_destroy,
};

struct link *link_local_create(uv_loop_t *loop, const char *path)
{
    struct local *local = mem_new(struct local);
    local->path = mem_strdup(path);
    return link_create(loop, &local_transport, local);
}
