/* An engine in memory, for tests by the thousand: containers that cook, die and go as a script
 * says, on a clock of their own that moves only in engine_fake_advance.
 *
 * engine_fake is the machine: its clock and its containers outlive the engines that are attached
 * to it one after the other, as containers outlive the worker. Whatever breaks engine.h's contract
 * (a handle used after gone, a slot or name given twice, ...) aborts with a line that says so.
 */
#ifndef WORKER_ENGINE_FAKE_H
#define WORKER_ENGINE_FAKE_H

#include "../common/agent_wire.h"
#include "engine.h"
#include "fake_agent.h"

struct engine_fake;

#define ENGINE_FAKE_NEVER ((mono_us)-1)

/* What becomes of a container; decided when it is made. */
struct engine_fake_fate {
    mono_us ready_us; /* from create to ready, or never */
    mono_us
        die_us; /* from create until it dies by itself, or never; before ready: a failed start */
    mono_us gone_us;   /* from destroy to gone */
    mono_us return_us; /* from adopt to ready, or never: then it is gone after a while */
    bool refuse_open;  /* its agent takes no operation */
    bool refuse_network;
    mono_us network_us; /* from attach_network to its answer */
};

enum engine_fake_state { ENGINE_FAKE_COOKING, ENGINE_FAKE_READY, ENGINE_FAKE_DYING };

/* A container seen from outside. */
struct engine_fake_view {
    const char *name;
    unsigned slot;
    enum engine_fake_state state;
    bool owned;     /* made or adopted by the engine that is attached now */
    bool adopted;   /* by it */
    pid_t init_pid; /* 0 before ready */
    struct engine_limits limits;
    bool networked;
    enum engine_pace pace;
    int64_t disk_bytes;
};

struct engine_fake_counts {
    unsigned live;    /* containers that are not gone */
    unsigned cooking; /* of these, made by the attached engine and not ready yet */
    unsigned operations;
    uint64_t created, adopted, gone;
};

/* The clock starts at one second. */
struct engine_fake *engine_fake_create(void);

/* Frees the machine and its containers. No engine may be attached. */
void engine_fake_destroy(struct engine_fake *fake);

const struct clock *engine_fake_clock(const struct engine_fake *fake);

/* An engine for a worker that starts; it is attached until its finish(). One at a time. */
struct engine *engine_fake_attach(struct engine_fake *fake);

/* The fate of those who are made from now on; at first ready after 7 ms, gone 4 ms after destroy,
 * back 5 ms after adopt, alive until then.
 */
void engine_fake_set_fate(struct engine_fake *fake, const struct engine_fake_fate *fate);

/* Called inside each create, before the container counts: nth is how many were created before it,
 * and the fate it is about to have may be changed.
 */
typedef void (*engine_fake_plan)(uint64_t nth, const struct engine_spec *spec,
                                 struct engine_fake_fate *fate, void *data);
void engine_fake_on_create(struct engine_fake *fake, engine_fake_plan plan, void *data);

/* Lets us microseconds pass: all that is due happens in its order, each at its time on the clock,
 * and sockets are read and written. Not inside an event.
 */
void engine_fake_advance(struct engine_fake *fake, mono_us us);

/* When the next thing happens by itself; 0: nothing will. */
mono_us engine_fake_next(const struct engine_fake *fake);

/* Its init is killed: it is gone at the next advance. False when there is no such container. */
bool engine_fake_kill(struct engine_fake *fake, const char *name);

/* What stats() answers for it. False when there is no such container. */
bool engine_fake_set_stats(struct engine_fake *fake, const char *name,
                           const struct engine_stats *stats);

/* What disk_left() answers for it; plenty at first. False when there is no such container. */
bool engine_fake_set_disk_left(struct engine_fake *fake, const char *name,
                               const struct engine_disk *left);

/* What every operation does from now on. script, if not NULL, may change it for one program that is
 * about to run on the container called name.
 */
typedef void (*engine_fake_exec)(const char *name, const struct agent_exec *exec,
                                 struct fake_script *script, void *data);
void engine_fake_set_script(struct engine_fake *fake, const struct fake_script *script,
                            engine_fake_exec on_exec, void *data);

/* Readable when an operation's socket wants engine_fake_advance(fake, 0). Owned by the fake. */
int engine_fake_fd(const struct engine_fake *fake);

/* Every container that is not gone, in no order. */
void engine_fake_each(const struct engine_fake *fake,
                      void (*each)(const struct engine_fake_view *view, void *data), void *data);
struct engine_fake_counts engine_fake_count(const struct engine_fake *fake);

#endif
