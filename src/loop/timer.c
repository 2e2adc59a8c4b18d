#include "timer.h"

#include "../common/mem.h"

#include <stdlib.h>

uv_timer_t *loop_timer_create(uv_loop_t *loop, void *data)
{
    uv_timer_t *timer = mem_new(uv_timer_t);
    uv_timer_init(loop, timer);
    timer->data = data;
    return timer;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void loop_timer_destroy(uv_timer_t *timer)
{
    if (timer)
        uv_close((uv_handle_t *)timer, free_handle);
}
