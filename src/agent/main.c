/* crunner: PID 1 of a runner. It starts processes for the worker and moves bytes; see op.h.
 *
 * One thread, one loop, no log: what goes wrong with an operation is told to the worker
 * (AGENT_FAILED). An exit of this process is the end of the runner, and its code says why it could
 * not start.
 */
#include "../common/agent_wire.h"
#include "collect.h"
#include "control.h"
#include "init.h"
#include "op.h"
#include "sandbox.h"
#include "spawn.h"
#include "watch.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

enum { EXIT_PROCESS = 70, EXIT_LOOP, EXIT_FOLDER, EXIT_SANDBOX, EXIT_GROUPS };

#define EVENTS_AT_ONCE 32

static int timeout_ms(mono_us now)
{
    mono_us retry = control_deadline(), expire = op_deadline();
    mono_us first = retry == 0 || (expire != 0 && expire < retry) ? expire : retry;
    if (first == 0)
        return -1;
    return first <= now ? 0 : (int)((first - now + US_PER_MS - 1) / US_PER_MS);
}

static void dispatch(const struct epoll_event *event, int children)
{
    struct watch_tag tag = watch_tag(event);
    if (tag.source == WATCH_SIGNALS)
        init_reap(children, op_reaped);
    else if (tag.source == WATCH_CONTROL)
        control_event(event->events);
    else
        op_event(tag, event->events);
}

_Noreturn static void loop(int children)
{
    for (;;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        mono_us now = clock_now(&clock_system);
        control_retry(now);
        op_expire(now);
        int count = watch_wait(events, EVENTS_AT_ONCE, timeout_ms(now));
        for (int i = 0; i < count; i++)
            dispatch(&events[i], children);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], COLLECT_WORD) == 0)
        return collect_main(argc - 2, argv + 2);
    /* Buffers of operations go back to the kernel when they are freed. */
    mallopt(M_MMAP_THRESHOLD, 32 * 1024);
    spawn_init();
    if (argc > 2 && init_join_groups(argv + 2) != 0)
        return EXIT_GROUPS;
    if (init_process() != 0)
        return EXIT_PROCESS;
    struct watch children = {.fd = init_watch_children()};
    const struct watch_tag tag = {.source = WATCH_SIGNALS};
    if (children.fd < 0 || watch_init() != 0 || watch_set(&children, tag, EPOLLIN) != 0)
        return EXIT_LOOP;
    int folder = init_hide_folder(argc > 1 ? argv[1] : AGENT_SOCKET_DIR);
    if (folder < 0)
        return EXIT_FOLDER;
    init_loopback();
    if (sandbox_mask() != 0 || sandbox_deny() != 0 || sandbox_confine() != 0)
        return EXIT_SANDBOX;
    control_start(folder);
    loop(children.fd);
}
