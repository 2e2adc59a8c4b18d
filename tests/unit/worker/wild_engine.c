#include "wild_engine.h"

#include <unistd.h>

struct wild wild;

static int wild_open(struct engine *engine, struct engine_runner *handle,
                     const struct engine_operation *operation, int take_fd, struct err *err)
{
    (void)engine, (void)handle;
    if (wild.opens == wild.opens_most) {
        close(take_fd);
        return err_set(err, ERR_BAD_GATEWAY, "the agent is the test's");
    }
    wild.opens++;
    wild.operation = *operation;
    peer_close(&wild.agent);
    peer_init(&wild.agent, take_fd, wild.agent.turn, wild.agent.data);
    return 0;
}

static bool wild_signal(struct engine *engine, struct engine_runner *handle, uint32_t id,
                        int number)
{
    (void)engine, (void)handle;
    wild.signals++;
    wild.signal_id = id;
    wild.signal = number;
    return wild.hears;
}

static void wild_kill(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    (void)engine, (void)handle, (void)id;
    wild.kills++;
}

static void wild_end(struct engine *engine, struct engine_runner *handle, uint32_t id)
{
    (void)engine, (void)handle, (void)id;
    wild.ends++;
}

void wild_begin(struct worker_rig *rig)
{
    struct engine *engine = roster_engine(rig->services.roster);
    wild = (struct wild){.ops = *engine->ops, .agent = {.fd = -1}, .opens_most = UINT_MAX};
    wild.ops.open = wild_open;
    wild.ops.signal = wild_signal;
    wild.ops.kill_operation = wild_kill;
    wild.ops.end_operation = wild_end;
    wild.agent.turn = worker_rig_turn;
    wild.agent.data = rig;
    engine->ops = &wild.ops;
}

void wild_finish(void)
{
    peer_close(&wild.agent);
}

void wild_started(void)
{
    unsigned char payload[64];
    const struct agent_started started = {.pid = 2};
    peer_send(&wild.agent, FRAME_AGENT_STARTED, payload,
              agent_started_encode(&started, payload, sizeof(payload)));
}

void wild_exits(const struct agent_exit *exit)
{
    unsigned char payload[64];
    peer_send(&wild.agent, FRAME_AGENT_EXIT, payload,
              agent_exit_encode(exit, payload, sizeof(payload)));
}
