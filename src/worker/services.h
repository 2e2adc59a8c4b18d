/* What the worker's operations work with; wired in main.c, all of it outlives every connection. */
#ifndef WORKER_SERVICES_H
#define WORKER_SERVICES_H

#include "../common/config.h"
#include "ovens.h"
#include "runner.h"

#include <uv.h>

struct footprint_ground;
struct journal;
struct ledger;
struct pantry;
struct runs;
struct watch;

struct services {
    uv_loop_t *loop;
    const struct config *config;
    const struct clock *clock;
    struct roster *roster;
    struct ovens *ovens;
    struct pantry *pantry;
    struct journal *journal;
    struct ledger *ledger;
    struct watch *watch;
    struct runs *runs;
    const struct footprint_ground *ground;
};

#endif
