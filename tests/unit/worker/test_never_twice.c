/* A run whose connection is cut anywhere: the manager's side and the worker's, both real, with a
 * tunnel between them that loses what it carries. Whatever it loses, and however late the rest
 * comes, the program is run at most once, and exactly once when the manager says that it was.
 */
#include "../../../src/common/log.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../../src/manager/runs.h"
#include "../../../src/worker/server.h"
#include "../../support/known_languages.h"
#include "../../support/scratch.h"
#include "worker_rig.h"

#include <grp.h>
#include <signal.h>
#include <unistd.h>

/* After which byte, of which direction, the victim's connection is lost; what the worker's end then
 * sees: its end as well; nothing, for a while; or nothing but what the manager had sent, too late.
 */
enum side { TO_WORKER, TO_MANAGER };
enum fate { BOTH_END, WORKER_HANGS, LATE };

struct tunnel {
    struct proxy *proxy;
    uv_pipe_t manager, worker;
    int open;
    bool manager_closed, worker_closed, victim, broken;
    size_t carried[2];
    char held[8192]; /* LATE: for the worker */
    size_t held_len;
    struct tunnel *next;
};

struct proxy {
    uv_loop_t *loop;
    uv_pipe_t listener;
    const char *worker_path;
    struct tunnel *tunnels;
    bool armed; /* the next connection that carries a RUN is the victim */
    enum side side;
    enum fate fate;
    size_t at;
    bool struck;
    size_t lengths[2]; /* of a victim that was not cut */
};

static void on_closed(uv_handle_t *handle)
{
    struct tunnel *tunnel = handle->data;
    if (--tunnel->open > 0)
        return;
    for (struct tunnel **at = &tunnel->proxy->tunnels; *at; at = &(*at)->next) {
        if (*at == tunnel) {
            *at = tunnel->next;
            break;
        }
    }
    free(tunnel);
}

static void close_end(struct tunnel *tunnel, enum side side)
{
    bool *closed = side == TO_MANAGER ? &tunnel->manager_closed : &tunnel->worker_closed;
    uv_pipe_t *pipe = side == TO_MANAGER ? &tunnel->manager : &tunnel->worker;
    if (!*closed)
        uv_close((uv_handle_t *)pipe, on_closed);
    *closed = true;
}

struct writing {
    uv_write_t request;
    char bytes[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void carry(struct tunnel *tunnel, enum side side, const char *bytes, size_t len)
{
    bool closed = side == TO_MANAGER ? tunnel->manager_closed : tunnel->worker_closed;
    uv_pipe_t *pipe = side == TO_MANAGER ? &tunnel->manager : &tunnel->worker;
    if (closed || len == 0)
        return;
    struct writing *writing = mem_calloc(1, sizeof(*writing) + len);
    memcpy(writing->bytes, bytes, len);
    uv_buf_t buf = uv_buf_init(writing->bytes, (unsigned)len);
    if (uv_write(&writing->request, (uv_stream_t *)pipe, &buf, 1, on_written) != 0)
        free(writing);
}

static void hold(struct tunnel *tunnel, const char *bytes, size_t len)
{
    assert_true(tunnel->held_len + len <= sizeof(tunnel->held));
    memcpy(tunnel->held + tunnel->held_len, bytes, len);
    tunnel->held_len += len;
}

static void strike(struct tunnel *tunnel)
{
    struct proxy *proxy = tunnel->proxy;
    tunnel->broken = true;
    proxy->struck = true;
    close_end(tunnel, TO_MANAGER);
    if (proxy->fate == BOTH_END)
        close_end(tunnel, TO_WORKER);
}

/* The byte after the hello says what the connection is for. */
static void look_for_victim(struct tunnel *tunnel, const char *bytes, size_t len)
{
    struct proxy *proxy = tunnel->proxy;
    size_t hello =
        FRAME_HEADER_LEN + strlen("{\"protocol\":3,\"program\":\"codeland " CODELAND_VERSION
                                  "\",\"manager\":\"" RIG_MANAGER "\"}");
    size_t at = hello - tunnel->carried[TO_WORKER];
    if (proxy->armed && tunnel->carried[TO_WORKER] <= hello && at < len && bytes[at] == FRAME_RUN) {
        proxy->armed = false;
        tunnel->victim = true;
    }
}

static void on_bytes(struct tunnel *tunnel, enum side side, const char *bytes, size_t len)
{
    struct proxy *proxy = tunnel->proxy;
    if (side == TO_WORKER)
        look_for_victim(tunnel, bytes, len);
    size_t before = tunnel->carried[side];
    tunnel->carried[side] += len;
    if (tunnel->victim)
        proxy->lengths[side] = tunnel->carried[side];
    if (!tunnel->victim || side != proxy->side || before + len <= proxy->at) {
        if (!tunnel->broken)
            carry(tunnel, side, bytes, len);
        return;
    }
    size_t passed = proxy->at > before ? proxy->at - before : 0;
    if (proxy->fate == LATE && side == TO_WORKER)
        hold(tunnel, bytes, len); /* nothing of it goes through before it is too late */
    else if (!tunnel->broken)
        carry(tunnel, side, bytes, passed);
    if (!tunnel->broken)
        strike(tunnel);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char bytes[65536];
    (void)handle, (void)suggested;
    *buf = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct tunnel *tunnel = stream->data;
    enum side to = stream == (uv_stream_t *)&tunnel->manager ? TO_WORKER : TO_MANAGER;
    if (len > 0) {
        on_bytes(tunnel, to, buf->base, (size_t)len);
    } else if (len < 0 && !(tunnel->broken && to == TO_WORKER)) {
        close_end(tunnel, TO_MANAGER);
        close_end(tunnel, TO_WORKER);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct tunnel *tunnel = request->data;
    free(request);
    if (status == UV_ECANCELED)
        return;
    assert_int_equal(status, 0);
    uv_read_start((uv_stream_t *)&tunnel->worker, on_alloc, on_read);
    uv_read_start((uv_stream_t *)&tunnel->manager, on_alloc, on_read);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct proxy *proxy = listener->data;
    struct tunnel *tunnel = mem_new(struct tunnel);
    assert_int_equal(status, 0);
    tunnel->proxy = proxy;
    tunnel->next = proxy->tunnels;
    proxy->tunnels = tunnel;
    tunnel->open = 2;
    uv_pipe_init(proxy->loop, &tunnel->manager, 0);
    uv_pipe_init(proxy->loop, &tunnel->worker, 0);
    tunnel->manager.data = tunnel->worker.data = tunnel;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&tunnel->manager), 0);
    uv_connect_t *request = mem_new(uv_connect_t);
    request->data = tunnel;
    uv_pipe_connect(request, &tunnel->worker, proxy->worker_path, on_connected);
}

/* What was held back comes after all, and then the end. */
static void heal(struct proxy *proxy)
{
    for (struct tunnel *tunnel = proxy->tunnels; tunnel; tunnel = tunnel->next) {
        if (!tunnel->broken)
            continue;
        carry(tunnel, TO_WORKER, tunnel->held, tunnel->held_len);
        tunnel->held_len = 0;
    }
}

static void cut_broken(struct proxy *proxy)
{
    for (struct tunnel *tunnel = proxy->tunnels; tunnel; tunnel = tunnel->next) {
        if (tunnel->broken)
            close_end(tunnel, TO_WORKER);
    }
}

/* ---- a run through it ---- */

struct stage {
    struct worker_rig rig;
    struct server *server;
    struct proxy proxy;
    char proxy_path[PATH_MAX], worker_path[PATH_MAX];
    struct fleet *fleet;
    struct worker *worker;
    unsigned executed, done, well;
    struct failure failure;
};

static void on_exec(const char *name, const struct agent_exec *exec, struct fake_script *script,
                    void *data)
{
    struct stage *stage = data;
    (void)name, (void)exec, (void)script;
    stage->executed++;
}

static void on_done(struct run_result *take_result, const struct failure *failure, void *data)
{
    struct stage *stage = data;
    stage->done++;
    stage->well += take_result != NULL;
    if (failure)
        stage->failure = *failure;
    run_result_free(take_result);
}

static void begin(struct stage *stage)
{
    static const struct fake_script quick = {.ending = FAKE_EXITS};
    struct err err;
    *stage = (struct stage){.done = 0};
    log_init("test", LOG_ERROR + 1);
    signal(SIGPIPE, SIG_IGN); /* as every program of ours does */
    worker_rig_init(&stage->rig);
    worker_rig_open(&stage->rig);
    engine_fake_set_script(stage->rig.fake, &quick, on_exec, stage);
    worker_rig_warm(&stage->rig, 1);
    str_format(stage->worker_path, PATH_MAX, "%s",
               scratch_path(stage->rig.folder, SERVER_SOCKET_NAME));
    str_format(stage->proxy_path, PATH_MAX, "%s", scratch_path(stage->rig.folder, "proxy.sock"));
    stage->server =
        server_create(&stage->rig.services, stage->rig.folder, getgrgid(getegid())->gr_name, &err);
    if (!stage->server)
        fail_msg("%s", err.msg);
    struct proxy *proxy = &stage->proxy;
    *proxy = (struct proxy){.loop = &stage->rig.loop, .worker_path = stage->worker_path};
    uv_pipe_init(proxy->loop, &proxy->listener, 0);
    proxy->listener.data = proxy;
    assert_int_equal(uv_pipe_bind(&proxy->listener, stage->proxy_path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&proxy->listener, 128, on_connection), 0);
    struct link *link = link_local_create(&stage->rig.loop, stage->proxy_path);
    link_set_manager(link, RIG_MANAGER);
    stage->worker = worker_create(&stage->rig.loop, "local", link);
    stage->fleet = fleet_create(&stage->rig.loop);
    fleet_add(stage->fleet, stage->worker);
    worker_rig_wait(&stage->rig, worker_up(stage->worker));
}

static void finish(struct stage *stage)
{
    fleet_destroy(stage->fleet);
    uv_close((uv_handle_t *)&stage->proxy.listener, NULL);
    for (struct tunnel *tunnel = stage->proxy.tunnels; tunnel; tunnel = tunnel->next) {
        close_end(tunnel, TO_MANAGER);
        close_end(tunnel, TO_WORKER);
    }
    worker_rig_wait(&stage->rig, !stage->proxy.tunnels);
    server_destroy(stage->server);
    worker_rig_finish(&stage->rig);
}

static void run_once(struct stage *stage)
{
    struct failure failure = {0};
    static const char code[] = "echo once";
    struct run_request request = {
        .template_name = "base",
        .language = languages_default(known_languages()),
        .code = code,
        .code_len = sizeof(code) - 1,
        .time_ms = 60000,
        .output_bytes = 1000,
        .queue_ms = 60000,
        .memory_bytes = 268435456,
    };
    memcpy(request.id, "0123456789abcdef", sizeof(request.id));
    stage->executed = stage->done = stage->well = 0;
    assert_non_null(
        run_start(&stage->rig.loop, stage->fleet, NULL, &request, on_done, stage, &failure));
    worker_rig_wait(&stage->rig, stage->done == 1);
}

/* Cut there, what comes late included; whether the run went well in the end. */
static bool cut_at(struct stage *stage, enum side side, enum fate fate, size_t at)
{
    struct proxy *proxy = &stage->proxy;
    proxy->side = side;
    proxy->fate = fate;
    proxy->at = at;
    proxy->armed = true;
    proxy->struck = false;
    run_once(stage);
    heal(proxy);
    for (int turn = 0; turn < 10; turn++)
        worker_rig_turn(&stage->rig);
    cut_broken(proxy);
    worker_rig_wait(&stage->rig, worker_rig_count(&stage->rig, RUNNER_IN_USE) == 0);
    if (stage->executed > 1 || (stage->well && stage->executed != 1))
        fail_msg("side %d, fate %d, byte %zu: executed %u times, %s", side, fate, at,
                 stage->executed, stage->well ? "went well" : stage->failure.err.msg);
    if (!stage->well)
        assert_string_equal(err_name(stage->failure.err.code), err_name(ERR_BAD_GATEWAY));
    return stage->well;
}

static void at_most_once_wherever_it_is_cut(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    run_once(&stage); /* makes spares */
    assert_true(cut_at(&stage, TO_MANAGER, BOTH_END, SIZE_MAX) && !stage.proxy.struck);
    const size_t lengths[] = {stage.proxy.lengths[0], stage.proxy.lengths[1]};
    unsigned again = 0, lost = 0;
    for (int side = TO_WORKER; side <= TO_MANAGER; side++) {
        for (int fate = BOTH_END; fate <= LATE; fate++) {
            if (fate == LATE && side == TO_MANAGER)
                continue;
            for (size_t at = lengths[side] % 3; at < lengths[side]; at += 3) {
                bool well = cut_at(&stage, (enum side)side, (enum fate)fate, at);
                again += well && stage.proxy.struck;
                lost += !well;
            }
        }
    }
    assert_true(again > 20 && lost > 5); /* both kinds were there */
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_most_once_wherever_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
