/* The machine inside engine_fake: its containers, their handles and operations, and what will
 * happen to them when. For engine_fake.c alone.
 */
#ifndef WORKER_FAKE_CONTAINER_H
#define WORKER_FAKE_CONTAINER_H

#include "engine_fake.h"
#include "heap.h"
#include "slots.h"

struct fake_timer {
    struct heap_node node;
    void (*fire)(struct engine_fake *fake, struct fake_timer *timer);
};

struct fake_operation {
    struct fake_timer timer; /* until the program's time is over */
    struct fake_container *container;
    struct fake_operation *next;
    struct fake_agent *agent; /* NULL: over, but still confined */
    bool confined;
    uint32_t id;
};

struct engine_runner {
    struct fake_container *container; /* NULL: void, it waits to be freed */
    struct engine_runner *next;
};

struct fake_container {
    struct fake_timer timer;
    struct engine_fake *fake;
    struct engine_runner *handle; /* NULL: of no engine */
    unsigned place;
    unsigned slot;
    char name[NAME_MAX_LEN + 1];
    enum engine_fake_state state;
    bool adopted;    /* by the engine whose handle it has */
    bool destroyed;  /* by request; else it dies by itself */
    bool told_ready; /* to that engine */
    bool absent;     /* adopted, but there is no such container */
    bool refuse_open, refuse_network, networked;
    enum engine_pace pace;
    engine_attached attached; /* NULL: nobody waits for it */
    void *attached_data;
    struct fake_timer network_timer; /* until it is attached */
    mono_us network_us;
    void *runner;
    mono_us ready_at, die_at; /* 0: never */
    mono_us gone_us, return_us;
    struct fake_operation *operations;
    struct engine_stats stats;
    struct engine_limits limits;
    int64_t disk_bytes;
    struct engine_disk disk_left;
};

struct attached {
    struct engine engine; /* first */
    struct engine_fake *fake;
};

struct engine_fake {
    struct clock clock; /* first */
    mono_us now;
    struct heap timers;
    struct fake_container **table; /* NULL: free */
    unsigned table_room;
    unsigned *free_places, free_count;
    void *names;        /* a tree of containers, see tsearch(3) */
    struct slots slots; /* of all containers */
    struct engine_runner *first_dead, *last_dead;
    unsigned dead_count;
    struct attached *attached; /* NULL: none */
    struct engine_fake_fate fate;
    engine_fake_plan plan;
    void *plan_data;
    struct fake_script script;
    engine_fake_exec on_exec;
    void *on_exec_data;
    struct engine_fake_counts counts;
    int epoll;
    bool advancing;
};

/* Somebody broke engine.h's contract: says so and aborts. */
_Noreturn void fake_misuse(const char *what, const char *name);

/* 0: never. */
void fake_timer_set(struct engine_fake *fake, struct fake_timer *timer, mono_us due);

/* A new container, cooking, without a handle or a time for anything. */
struct fake_container *fake_container_add(struct engine_fake *fake, const struct engine_spec *spec);
void fake_container_free(struct engine_fake *fake, struct fake_container *container);

/* Sets its timer to what comes next by itself. */
void fake_container_plan(struct engine_fake *fake, struct fake_container *container);

/* Answers attach_network. */
void fake_container_attached(struct fake_container *container, const struct err *why);

void fake_container_begin_dying(struct engine_fake *fake, struct fake_container *container);

/* Frees it and tells its owner, if it has one. why: NULL when it was destroyed on request. */
void fake_container_gone(struct engine_fake *fake, struct fake_container *container,
                         const struct err *why);

/* The container called name; NULL when there is none. */
struct fake_container *fake_container_named(const struct engine_fake *fake, const char *name);

/* Gives it an owner, and takes that away again. */
struct engine_runner *fake_container_give_handle(struct fake_container *container, void *runner);
void fake_container_void_handle(struct engine_fake *fake, struct fake_container *container);
struct fake_container *fake_container_of(const struct engine_runner *handle);

/* Operations. Takes fd. */
int fake_operation_add(struct fake_container *container, const struct engine_operation *asked,
                       int take_fd, struct err *err);
struct fake_operation *fake_operation_of(struct fake_container *container, uint32_t id);
void fake_operation_pump(struct engine_fake *fake, struct fake_operation *operation);
void fake_operation_forget(struct fake_operation *operation);

#endif
