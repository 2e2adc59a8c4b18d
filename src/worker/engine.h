/* The engine: what makes and unmakes containers. A seam: engine_lxc is the real one, engine_fake
 * is in memory, with scripted faults, for tests by the thousand.
 *
 * Everything here is called from the worker's loop thread, returns without blocking, and reports
 * through engine_events from the loop, never before the call that caused it has returned.
 */
#ifndef WORKER_ENGINE_H
#define WORKER_ENGINE_H

#include "../common/clock.h"
#include "../common/err.h"
#include "../common/ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct engine;
struct engine_runner; /* one container, the engine's side of it */

struct engine_limits {
    int64_t memory_bytes; /* swap is always 0 */
    int64_t processes;
    int64_t cpu_percent; /* 100 is one cpu */
};

struct engine_spec {
    char name[NAME_MAX_LEN + 1]; /* host name, cgroup name, container name */
    unsigned slot;               /* which id range; unique among runners that are not gone */
    const char *rootfs;          /* the template's root file system; copied */
    int64_t rootfs_stamp;        /* which build of it; no matter to the engine */
    struct engine_limits limits;
    int64_t disk_bytes, disk_inodes;
    bool networked; /* adopt: an earlier worker's attach_network was for it */
};

/* Figures since the runner was made, from the kernel's own accounting. */
struct engine_stats {
    int64_t memory_bytes;       /* now */
    int64_t memory_peak_bytes;  /* highest since engine ready, or since it was made (v2 < 6.12) */
    int64_t cpu_us;             /* exact */
    int64_t user_us, system_us; /* how it divides; may be by clock ticks, so 0 for short runs */
    int64_t oom_kills;          /* processes killed for want of memory */
    int64_t pids_refused;       /* forks refused by the limit */
    int64_t processes;          /* and threads, now */
};

/* What of that is looked at often. */
struct engine_use {
    int64_t cpu_us, user_us, pids_refused, processes;
};

/* How a runner competes for the processors. */
enum engine_pace {
    ENGINE_PACE_EQUAL, /* like any other, within its limit */
    ENGINE_PACE_BATCH, /* when no other wants them; where the kernel can (since 5.15), else EQUAL */
    ENGINE_PACE_CURBED,  /* as BATCH, and within a fraction of its limit */
    ENGINE_PACE_ENDING,  /* as before, without a limit: what was killed has to run, to its end */
    ENGINE_PACE_OVERDUE, /* without a limit, like any other */
};

/* What is left of a runner's disk. */
struct engine_disk {
    int64_t free_bytes, free_inodes;
};

struct engine_operation {
    uint32_t id;          /* no other of the runner has it */
    bool confined;        /* kill_operation can kill its processes alone, until end_operation */
    int64_t output_bytes; /* wanted of each of its program's streams; more may come */
};

struct engine_events {
    /* The runner can run programs. At most once per runner. */
    void (*ready)(void *runner);

    /* Nothing of it is left but what the kernel frees by itself. Exactly once per runner that
     * create or adopt returned; the engine_runner is invalid from here on. why is NULL when it
     * was destroyed on request, else what happened (it never started, or its init died).
     */
    void (*gone)(void *runner, const struct err *why);
};

typedef void (*engine_attached)(const struct err *why, void *data);

struct engine_ops {
    /* Begins to make a container. `runner` comes back in the events. Never NULL: a failure to
     * start arrives as gone.
     */
    struct engine_runner *(*create)(struct engine *engine, const struct engine_spec *spec,
                                    void *runner);

    /* Takes over a container that an earlier worker made and this spec describes. Its `ready`
     * fires when its agent has come back, or `gone` when it has not after a while or is not there.
     */
    struct engine_runner *(*adopt)(struct engine *engine, const struct engine_spec *spec,
                                   pid_t init_pid, void *runner);

    /* Kills every process of it at once, and sets the pace ENDING. `gone` follows; calling again
     * changes nothing. */
    void (*destroy)(struct engine *engine, struct engine_runner *handle);

    /* Hands the agent one end of a socket for an operation; fd is taken. */
    int (*open)(struct engine *engine, struct engine_runner *handle,
                const struct engine_operation *operation, int take_fd, struct err *err);

    /* A signal to the program that the operation runs, at once, whatever waits on its socket. False
     * when the agent cannot be told so.
     */
    bool (*signal)(struct engine *engine, struct engine_runner *handle, uint32_t id, int number);
    void (*kill_operation)(struct engine *engine, struct engine_runner *handle, uint32_t id);
    void (*end_operation)(struct engine *engine, struct engine_runner *handle, uint32_t id);

    /* Gives a container that is ready, and in which nothing has run, a way to the internet. Once
     * at most. done fires once, from the loop and before gone (but not after finish); why is NULL
     * when it is there.
     */
    void (*attach_network)(struct engine *engine, struct engine_runner *handle,
                           engine_attached done, void *data);

    int (*set_limits)(struct engine *engine, struct engine_runner *handle,
                      const struct engine_limits *limits, struct err *err);
    int (*stats)(struct engine *engine, struct engine_runner *handle, struct engine_stats *stats,
                 struct err *err);
    struct engine_use (*use)(struct engine *engine,
                             struct engine_runner *handle); /* of stats; 0: unknown */

    void (*set_pace)(struct engine *engine, struct engine_runner *handle, enum engine_pace pace);

    /* How much the runner may write from now on, in all; ERR_NO_SPACE when it holds more. */
    int (*set_disk)(struct engine *engine, struct engine_runner *handle, int64_t bytes,
                    struct err *err);
    int (*disk_left)(struct engine *engine, struct engine_runner *handle, struct engine_disk *left,
                     struct err *err);

    /* The highest use of memory begins anew, where the kernel can. */
    void (*reset_peak)(struct engine *engine, struct engine_runner *handle);

    /* The container's init on the host, 0 before ready. */
    pid_t (*init_pid)(const struct engine_runner *handle);

    /* Call found once for each container of our prefix that this engine neither made nor adopted.
     */
    void (*zombies)(struct engine *engine, void (*found)(const char *name, void *data), void *data);

    /* Removes such a container, and all that is left of it. Blocks for up to a second. */
    int (*remove_zombie)(struct engine *engine, const char *name, struct err *err);

    void (*finish)(struct engine *engine); /* frees the engine; runners live on */
};

/* Every engine begins with this. */
struct engine {
    const struct engine_ops *ops;
    const struct engine_events *events; /* set by the owner before the first create */
};

#endif
