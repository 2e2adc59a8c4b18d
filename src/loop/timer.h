/* A timer that its owner can let go of at any moment: the loop looks at a closed handle once more,
 * so that it must outlive its owner.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <uv.h>

/* Not started; its callbacks find data in timer->data. */
uv_timer_t *loop_timer_create(uv_loop_t *loop, void *data);

/* It does not fire any more, and frees itself. NULL is allowed. */
void loop_timer_destroy(uv_timer_t *timer);

#endif
