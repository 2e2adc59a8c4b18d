#include "kitchen.h"

#include "engine_lxc.h"
#include "engine_lxc_start.h"
#include "footprint.h"
#include "hostinfo.h"
#include "journal.h"
#include "ledger.h"
#include "network.h"
#include "network_helper.h"
#include "ovens.h"
#include "own_group.h"
#include "pantry.h"
#include "run.h"
#include "server.h"
#include "watch.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../common/template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define MEMORY_SAMPLE_MS 1000

struct kitchen {
    struct kitchen_config config;
    struct services services;
    struct cgroup *cgroup;
    struct own_group *own_group; /* NULL: it could not be had */
    struct idmap *idmap;
    struct server *server;
    char rootfs[PATH_MAX], agent_folder[START_PATH_MAX], network_notes[PATH_MAX];
    pid_t starter;
    struct network_plan network_plan;
    struct network *network; /* NULL: there is none, nor was there */
    int network_socket;
    pid_t network_helper;
    struct footprint_ground ground;
    int lock;
    unsigned memory_used_percent;
    bool closing, leave_kept;
    mono_us close_deadline;
    unsigned close_left; /* runners that had not ended at the last look */
    uv_timer_t oven_timer, memory_timer, close_timer;
};

/* ---- the ovens' clock ---- */

static void on_ovens_timer(uv_timer_t *timer);

static void arm_ovens(void *data)
{
    struct kitchen *kitchen = data;
    mono_us next = ovens_next_step(kitchen->services.ovens);
    if (next == 0)
        return;
    mono_us left = next - clock_now(kitchen->services.clock);
    uint64_t delay_ms = left > 0 ? (uint64_t)(left + US_PER_MS - 1) / US_PER_MS : 0;
    uv_update_time(kitchen->config.loop);
    uv_timer_start(&kitchen->oven_timer, on_ovens_timer, delay_ms, 0);
}

static void step_ovens(struct kitchen *kitchen)
{
    uv_timer_stop(&kitchen->oven_timer);
    ovens_step(kitchen->services.ovens, kitchen->memory_used_percent);
    arm_ovens(kitchen);
}

static void on_ovens_timer(uv_timer_t *timer)
{
    step_ovens(timer->data);
}

static void sample_memory(struct kitchen *kitchen)
{
    struct host_memory memory;
    hostinfo_memory(&memory);
    kitchen->memory_used_percent = hostinfo_memory_used_percent(&memory);
}

static void on_memory_timer(uv_timer_t *timer)
{
    struct kitchen *kitchen = timer->data;
    sample_memory(kitchen);
    pantry_look(kitchen->services.pantry);
    step_ovens(kitchen);
}

/* ---- runners ---- */

/* Where its first program's use begins, and what it may use: an earlier worker may have given it
 * other limits.
 */
static void prepare_warm(struct runner *runner)
{
    struct engine *engine = roster_engine(runner->roster);
    struct err err;
    if (engine->ops->stats(engine, runner->handle, &runner->baseline, &err) != 0 ||
        (runner->adopted &&
         engine->ops->set_limits(engine, runner->handle, &runner->spec.limits, &err) != 0))
        log_warn("a runner is not as it should be", LOG_S("runner", runner->name), LOG_ERR(&err));
    runner->memory_bytes = runner->baseline.memory_bytes;
}

static void on_change(struct runner *runner, enum runner_state from, void *data)
{
    const struct err *death = roster_death(runner->roster);
    (void)data;
    log_debug("runner", LOG_S("runner", runner->name),
              LOG_S("state", runner_state_name(runner->state)));
    if (runner->state == RUNNER_AVAILABLE)
        prepare_warm(runner);
    if (runner->state == RUNNER_GONE && death)
        log_warn(from == RUNNER_COOKING ? "a runner could not be started" : "a runner died",
                 LOG_S("runner", runner->name), LOG_S("was", runner_state_name(from)),
                 LOG_ERR(death));
}

static void kill_zombie(const char *name, void *data)
{
    const struct kitchen *kitchen = data;
    log_info("removing what nobody owns", LOG_S("runner", name));
    cgroup_kill(kitchen->cgroup, name);
}

static void remove_zombie(const char *name, void *data)
{
    const struct kitchen *kitchen = data;
    struct err err;
    if (cgroup_remove(kitchen->cgroup, name, &err) != 0)
        log_error("cannot remove what nobody owns", LOG_S("runner", name), LOG_ERR(&err));
}

static void remove_zombies(struct kitchen *kitchen)
{
    struct engine *engine = roster_engine(kitchen->services.roster);
    engine->ops->zombies(engine, kill_zombie, kitchen); /* so that they die side by side */
    engine->ops->zombies(engine, remove_zombie, kitchen);
}

static void destroy_of_no_use(struct runner *runner, void *data)
{
    (void)data;
    if (!runner->kept && !runner->oven)
        runner_destroy(runner);
}

/* Containers of an earlier worker: warm and kept ones are adopted, the others belonged to runs
 * that died with it.
 */
static int take_over(struct kitchen *kitchen, const struct engine_spec *spec, struct err *err)
{
    int adopted =
        journal_adopt(kitchen->services.journal, spec, kitchen->config.config->network_nat, err);
    if (adopted < 0)
        return err_context(err, "cannot read what an earlier worker left");
    if (adopted > 0)
        log_info("adopting runners of an earlier worker", LOG_D("count", adopted));
    roster_each(kitchen->services.roster, destroy_of_no_use, NULL);
    remove_zombies(kitchen);
    if (kitchen->network)
        network_settle(kitchen->network);
    return 0;
}

/* ---- opening ---- */

static void on_network_died(void *data)
{
    struct kitchen *kitchen = data;
    if (!kitchen->closing)
        kitchen->config.broken(kitchen->config.data);
}

static void on_starter_died(void *data)
{
    struct kitchen *kitchen = data;
    if (kitchen->closing)
        return;
    log_error("the starter died; no container can be made any more");
    kitchen->config.broken(kitchen->config.data);
}

/* rootfs: STATE_DIR/templates/NAME/rootfs */
static int check_template(const char *rootfs, void *data, struct err *err)
{
    const struct kitchen *kitchen = data;
    char name[NAME_MAX_LEN + 1] = "";
    const char *end = strrchr(rootfs, '/'), *begin = end;
    while (begin > rootfs && begin[-1] != '/')
        begin--;
    if (end)
        str_format(name, sizeof(name), "%.*s", (int)(end - begin), begin);
    return template_check(kitchen->config.config->paths_state_dir, name, err);
}

static int take_lock(struct kitchen *kitchen, struct err *err)
{
    char path[PATH_MAX];
    str_format(path, sizeof(path), "%s/worker.lock", kitchen->config.config->paths_run_dir);
    kitchen->lock = FAULT(LOCK_OPEN, -1, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (kitchen->lock < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", path);
    struct stat held, there;
    /* One that is about to end removes the file, and then holding it means nothing. */
    if (FAULT(LOCK_TAKE, -1, flock(kitchen->lock, LOCK_EX | LOCK_NB)) != 0 ||
        fstat(kitchen->lock, &held) != 0 || stat(path, &there) != 0 || held.st_ino != there.st_ino)
        return err_set(err, ERR_INTERNAL, "another worker runs with %s",
                       kitchen->config.config->paths_run_dir);
    return 0;
}

/* The host's own, the worker's and the manager's part is out of the runners' reach, whatever they
 * do together. Runners must be left room for at least one with the limits that a run has.
 */
static int keep_reserve(const struct kitchen *kitchen, struct err *err)
{
    const struct config *config = kitchen->config.config;
    struct host_memory memory;
    hostinfo_memory(&memory);
    const struct cgroup_share share = {
        .memory_bytes = memory.total - config->worker_reserve_memory,
        .processes = hostinfo_processes_most() - config->worker_reserve_processes,
    };
    if (share.memory_bytes < config->run_memory)
        return err_set(err, ERR_INTERNAL,
                       "worker.reserve_memory: leaves %" PRId64 " of the host's %" PRId64
                       " bytes, less than run.memory",
                       share.memory_bytes, memory.total);
    if (share.processes < config->run_processes)
        return err_set(err, ERR_INTERNAL,
                       "worker.reserve_processes: leaves %" PRId64
                       " of the host's, less than run.processes",
                       share.processes);
    return cgroup_bound_all(kitchen->cgroup, &share, err);
}

/* Without it runs go on all the same, less protected from each other's doings. */
static void enter_own_group(struct kitchen *kitchen)
{
    const struct config *config = kitchen->config.config;
    struct err err;
    kitchen->own_group = own_group_enter(kitchen->cgroup, config->worker_prefix,
                                         config->worker_reserve_memory, &err);
    if (!kitchen->own_group)
        log_warn("the worker has no cgroup of its own", LOG_ERR(&err));
}

/* Where there will be no network there may have been one. */
static int open_network_helper(struct kitchen *kitchen, struct err *err)
{
    const struct config *config = kitchen->config.config;
    if (network_plan_make(&kitchen->network_plan, config, err) != 0)
        return -1;
    if (!config->network_nat && if_nametoindex(kitchen->network_plan.bridge) == 0)
        return 0;
    str_format(kitchen->network_notes, sizeof(kitchen->network_notes), "%s/network",
               config->paths_run_dir);
    kitchen->network_socket = network_helper_spawn(&kitchen->network_plan, kitchen->network_notes,
                                                   &kitchen->network_helper, err);
    return kitchen->network_socket < 0 ? -1 : 0;
}

/* What must be there before anything is large, threaded or has a loop. */
static int open_ground(struct kitchen *kitchen, int *starter_socket, struct err *err)
{
    const struct config *config = kitchen->config.config;
    if (fd_mkdirs(config->paths_run_dir, 0755, err) != 0 ||
        fd_mkdirs(config->paths_state_dir, 0755, err) != 0 || take_lock(kitchen, err) != 0)
        return -1;
    if (!str_format(kitchen->agent_folder, sizeof(kitchen->agent_folder),
                    "%s/" ENGINE_LXC_AGENT_FOLDER, config->paths_run_dir) ||
        !template_path(kitchen->rootfs, sizeof(kitchen->rootfs), config->paths_state_dir,
                       config->oven_template, "rootfs"))
        return err_set(err, ERR_INTERNAL, "paths.state_dir or paths.run_dir is too long");
    kitchen->cgroup = cgroup_create(config->worker_prefix, err);
    if (!kitchen->cgroup || keep_reserve(kitchen, err) != 0)
        return -1;
    enter_own_group(kitchen);
    kitchen->idmap =
        idmap_create((uint32_t)config->worker_id_base, (uint32_t)config->worker_id_count);
    const struct start_config start = {
        .cgroup = kitchen->cgroup,
        .idmap = kitchen->idmap,
        .prefix = config->worker_prefix,
        .run_dir = config->paths_run_dir,
        .agent = kitchen->config.agent,
        .agent_folder = kitchen->agent_folder,
        .apparmor = kitchen->config.apparmor,
    };
    *starter_socket = starter_spawn(&start, &kitchen->starter, err);
    return *starter_socket < 0 ? -1 : open_network_helper(kitchen, err);
}

static struct engine_spec runner_spec(const struct kitchen *kitchen)
{
    const struct config *config = kitchen->config.config;
    return (struct engine_spec){
        .rootfs = kitchen->rootfs,
        .limits = {.memory_bytes = config->run_memory,
                   .processes = config->run_processes,
                   .cpu_percent = config->run_cpus},
        .disk_bytes = config->run_disk,
        .disk_inodes = config->run_inodes,
    };
}

static void open_ovens(struct kitchen *kitchen, const struct engine_spec *spec)
{
    const struct config *config = kitchen->config.config;
    const struct ovens_config ovens = {
        .template = {.name = config->oven_template, .rootfs = kitchen->rootfs},
        .spec = *spec,
        .min_available = (unsigned)config->oven_min_available,
        .min_available_other = (unsigned)config->oven_min_available_other,
        .linger_us = config->oven_linger * US_PER_MS,
        .max_runners = (unsigned)config->oven_max_runners,
        .cook_parallel = (unsigned)config->oven_cook_parallel,
        .queue_length = (unsigned)config->oven_queue_length,
        .mem_target_percent = (unsigned)config->oven_mem_target,
        .mem_ceiling_percent = (unsigned)config->oven_mem_ceiling,
        .cook_timeout_us = config->oven_cook_timeout * US_PER_MS,
        .backoff_max_us = config->oven_backoff_max * US_PER_MS,
    };
    struct services *services = &kitchen->services;
    services->ovens = ovens_create(services->roster, &ovens, services->clock);
    ovens_on_wake(services->ovens, arm_ovens, kitchen);
    services->pantry = pantry_create(services);
}

static json_t *describe_worker(const struct kitchen *kitchen)
{
    struct utsname host;
    uname(&host);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "name", kitchen->config.config->worker_name,
                     "version", CODELAND_VERSION, "startedAt", (json_int_t)clock_wall_ms(),
                     "kernel", host.release, "cgroup", cgroup_version(kitchen->cgroup), "user",
                     "root");
}

static int open_network(struct kitchen *kitchen, struct err *err)
{
    const struct network_config network = {
        .loop = kitchen->config.loop,
        .socket = kitchen->network_socket,
        .helper = kitchen->network_helper,
        .died = on_network_died,
        .data = kitchen,
    };
    if (kitchen->network_socket < 0)
        return 0;
    kitchen->network = network_create(&network, err);
    return kitchen->network ? 0 : -1;
}

static void know_ground(struct kitchen *kitchen)
{
    const struct config *config = kitchen->config.config;
    kitchen->ground = (struct footprint_ground){
        .cgroup = kitchen->cgroup,
        .ids_first = (uint64_t)config->worker_id_base,
        .ids_end =
            (uint64_t)(config->worker_id_base + config->worker_id_count * config->oven_max_runners),
        .helpers = {kitchen->starter, kitchen->network_helper},
        .run_dir = config->paths_run_dir,
    };
    kitchen->services.ground = &kitchen->ground;
}

static int open_services(struct kitchen *kitchen, int starter_socket, struct err *err)
{
    const struct config *config = kitchen->config.config;
    struct services *services = &kitchen->services;
    if (open_network(kitchen, err) != 0)
        return -1;
    const struct engine_lxc_config engine = {
        .loop = kitchen->config.loop,
        .cgroup = kitchen->cgroup,
        .idmap = kitchen->idmap,
        .starter_socket = starter_socket,
        .starter = kitchen->starter,
        .network = kitchen->network,
        .run_dir = config->paths_run_dir,
        .starter_died = on_starter_died,
        .check = check_template,
        .data = kitchen,
    };
    struct engine *made = engine_lxc_create(&engine, err);
    if (!made)
        return -1;
    services->loop = kitchen->config.loop;
    services->config = config;
    services->clock = &clock_system;
    services->roster = roster_create(made, services->clock, (unsigned)config->oven_max_runners);
    roster_observe(services->roster, on_change, kitchen);
    services->journal = journal_create(config->paths_run_dir, services->roster, err);
    if (!services->journal)
        return -1;
    services->ledger = ledger_open(config->paths_run_dir, services->clock, err);
    if (!services->ledger)
        return -1;
    const struct engine_spec spec = runner_spec(kitchen);
    open_ovens(kitchen, &spec);
    services->watch = watch_create(services, describe_worker(kitchen));
    services->runs = runs_create(services);
    if (take_over(kitchen, &spec, err) != 0)
        return -1;
    know_ground(kitchen);
    kitchen->server = server_create(services, config->paths_run_dir, config->http_group, err);
    return kitchen->server ? 0 : -1;
}

/* A runner takes two, an operation two more. The starter has its own limit, since containers get
 * what it has.
 */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit); /* else as many as there are */
}

struct kitchen *kitchen_open(const struct kitchen_config *config, struct err *err)
{
    struct kitchen *kitchen = mem_new(struct kitchen);
    int starter_socket = -1;
    kitchen->config = *config;
    kitchen->lock = -1;
    kitchen->network_socket = -1;
    /* A failure ends the program, whose memory and loop go with it; the starter sees that. */
    if (open_ground(kitchen, &starter_socket, err) != 0)
        return NULL;
    raise_descriptors();
    uv_loop_init(config->loop);
    uv_timer_init(config->loop, &kitchen->oven_timer);
    uv_timer_init(config->loop, &kitchen->memory_timer);
    uv_timer_init(config->loop, &kitchen->close_timer);
    kitchen->oven_timer.data = kitchen;
    kitchen->memory_timer.data = kitchen;
    kitchen->close_timer.data = kitchen;
    sample_memory(kitchen); /* before an oven's first step, whoever wakes it */
    if (open_services(kitchen, starter_socket, err) != 0)
        return NULL;
    uv_timer_start(&kitchen->memory_timer, on_memory_timer, 0, MEMORY_SAMPLE_MS);
    return kitchen;
}

/* ---- closing ---- */

static bool may_stay(const struct kitchen *kitchen, const struct runner *runner)
{
    /* COOKING: it is coming back. */
    return kitchen->leave_kept && runner->kept &&
           (runner->state == RUNNER_IN_USE || runner->state == RUNNER_COOKING);
}

static void destroy_unless_kept(struct runner *runner, void *data)
{
    if (!may_stay(data, runner))
        runner_destroy(runner);
}

struct count {
    const struct kitchen *kitchen;
    unsigned left;
};

static void count_left(struct runner *runner, void *data)
{
    struct count *count = data;
    count->left += !may_stay(count->kitchen, runner);
}

static void on_close_timer(uv_timer_t *timer)
{
    struct kitchen *kitchen = timer->data;
    struct count count = {.kitchen = kitchen};
    roster_each(kitchen->services.roster, count_left, &count);
    mono_us now = clock_now(kitchen->services.clock);
    if (count.left < kitchen->close_left)
        kitchen->close_deadline = now + KITCHEN_CLOSE_MS * US_PER_MS;
    kitchen->close_left = count.left;
    bool late = now > kitchen->close_deadline;
    if ((count.left > 0 && !late) || server_busy(kitchen->server))
        return;
    if (count.left > 0)
        log_error("runners are left that would not end", LOG_D("count", count.left));
    uv_timer_stop(timer);
    kitchen->config.closed(kitchen->config.data);
}

void kitchen_close(struct kitchen *kitchen, bool leave_kept)
{
    if (kitchen->closing) {
        kitchen->leave_kept = kitchen->leave_kept && leave_kept;
        roster_each(kitchen->services.roster, destroy_unless_kept, kitchen);
        return;
    }
    kitchen->closing = true;
    kitchen->leave_kept = leave_kept;
    kitchen->close_deadline = clock_now(kitchen->services.clock) + KITCHEN_CLOSE_MS * US_PER_MS;
    server_stop(kitchen->server);
    runs_end(kitchen->services.runs);
    ovens_stop(kitchen->services.ovens);
    roster_each(kitchen->services.roster, destroy_unless_kept, kitchen);
    uv_timer_start(&kitchen->close_timer, on_close_timer, 0, 5);
}

/* They would end by themselves, as their sockets have; what they have made lives on. */
static void end_helpers(const struct kitchen *kitchen)
{
    kill(kitchen->starter, SIGKILL);
    waitpid(kitchen->starter, NULL, 0);
    if (kitchen->network_helper > 0)
        kill(kitchen->network_helper, SIGKILL);
    if (kitchen->network_helper > 0)
        waitpid(kitchen->network_helper, NULL, 0);
}

static void remove_folders(const struct kitchen *kitchen)
{
    static const char *const names[] = {"agent", LEDGER_NAME, "lxc",        "network",
                                        "root",  "runners",   "worker.lock"};
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err err;
        str_format(path, sizeof(path), "%s/%s", kitchen->config.config->paths_run_dir, names[i]);
        if (fd_remove_tree(path, &err) != 0)
            log_warn("cannot tidy up", LOG_ERR(&err));
    }
    rmdir(kitchen->config.config->paths_run_dir); /* stays if somebody else uses it too */
}

void kitchen_destroy(struct kitchen *kitchen)
{
    bool all_gone = roster_total(kitchen->services.roster) == 0;
    server_destroy(kitchen->server);
    runs_destroy(kitchen->services.runs);
    pantry_destroy(kitchen->services.pantry);
    ovens_destroy(kitchen->services.ovens);
    watch_destroy(kitchen->services.watch);
    journal_destroy(kitchen->services.journal);
    ledger_close(kitchen->services.ledger);
    remove_zombies(kitchen);
    network_destroy(kitchen->network);
    roster_destroy(kitchen->services.roster);
    uv_close((uv_handle_t *)&kitchen->oven_timer, NULL);
    uv_close((uv_handle_t *)&kitchen->memory_timer, NULL);
    uv_close((uv_handle_t *)&kitchen->close_timer, NULL);
    uv_run(kitchen->config.loop, UV_RUN_DEFAULT);
    end_helpers(kitchen);
    own_group_leave(kitchen->own_group);
    if (all_gone) {
        cgroup_remove_prefix(kitchen->cgroup);
        remove_folders(kitchen);
    }
    fd_close(&kitchen->lock);
    cgroup_destroy(kitchen->cgroup);
    idmap_destroy(kitchen->idmap);
    free(kitchen);
}
