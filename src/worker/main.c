/* codeland-worker: the privileged daemon that owns this host's containers. */
#include "apparmor.h"
#include "kitchen.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"
#include "../common/locate.h"
#include "../common/log.h"
#include "../common/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* SIGINT ends everything it owns; SIGTERM leaves kept runners for the next worker. */
struct program {
    uv_loop_t *loop;
    struct kitchen *kitchen;
    uv_signal_t interrupted, terminated;
    bool broken;
};

static const char usage[] =
    "codeland-worker: makes and runs this host's containers\n"
    "\n"
    "  --config FILE             settings (default " CONFIG_DEFAULT_PATH ", if it is there)\n"
    "  --set section.key=value   one setting, over the file\n"
    "  --check-config            say whether the settings are right, and end\n"
    "  --help, --version\n"
    "\n"
    "SIGINT stops it and destroys all its runners; SIGTERM leaves those with a name.\n";

static void on_broken(void *data)
{
    struct program *program = data;
    program->broken = true;
    uv_stop(program->loop);
}

static void on_closed(void *data)
{
    struct program *program = data;
    uv_stop(program->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *program = handle->data;
    log_info("stopping", LOG_S("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
    kitchen_close(program->kitchen, number == SIGTERM);
}

/* The profile that runners begin with. Where it cannot be loaded they are made without one, for all
 * else still holds them; LXC's own profile would deny the agent what it mounts, or not be there.
 */
static const char *confine(const char *self)
{
    struct err err;
    char profiles[PATH_MAX];
    if (!apparmor_is_on())
        return NULL;
    if (locate_file(profiles, self, "src/worker", "libexec/codeland", "codeland.apparmor", &err) !=
            0 ||
        apparmor_load(APPARMOR_PARSER, profiles, &err) != 0) {
        log_warn("runners are not confined by AppArmor", LOG_ERR(&err));
        return "unconfined";
    }
    return AGENT_PROFILE;
}

static int run(const struct config *config, const char *self, const char *agent)
{
    uv_loop_t loop;
    struct err err;
    struct program program = {.loop = &loop};
    const struct kitchen_config kitchen = {
        .config = config,
        .apparmor = confine(self),
        .agent = agent,
        .loop = &loop,
        .broken = on_broken,
        .closed = on_closed,
        .data = &program,
    };
    program.kitchen = kitchen_open(&kitchen, &err);
    if (!program.kitchen) {
        log_error("cannot start", LOG_ERR(&err));
        return 1;
    }
    uv_signal_init(&loop, &program.interrupted);
    uv_signal_init(&loop, &program.terminated);
    program.interrupted.data = &program;
    program.terminated.data = &program;
    uv_signal_start(&program.interrupted, on_signal, SIGINT);
    uv_signal_start(&program.terminated, on_signal, SIGTERM);
    log_info("started", LOG_S("version", CODELAND_VERSION), LOG_S("name", config->worker_name));
    uv_run(&loop, UV_RUN_DEFAULT);
    if (program.broken)
        return 1; /* the next worker adopts what is here */
    uv_close((uv_handle_t *)&program.interrupted, NULL);
    uv_close((uv_handle_t *)&program.terminated, NULL);
    kitchen_destroy(program.kitchen);
    uv_loop_close(&loop);
    log_info("stopped");
    return 0;
}

/* Of all that may be killed for want of memory the worker comes last: it would be started again,
 * but runs would be lost. Runners come first (START_OOM_SCORE).
 */
static void survive_want_of_memory(void)
{
    struct err err;
    if (fd_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "-800") != 0) {
        err_sys(&err, ERR_INTERNAL, errno, "/proc/self/oom_score_adj");
        log_info("when memory is short this worker is not put last", LOG_ERR(&err));
    }
}

int main(int argc, char **argv)
{
    struct err err;
    struct options options;
    char self[PATH_MAX], agent[PATH_MAX];
    if (options_take_flag(&argc, argv, "--version")) {
        puts("codeland-worker " CODELAND_VERSION);
        return 0;
    }
    bool check_only = options_take_flag(&argc, argv, "--check-config");
    if (options_parse(&options, argc, argv, &err) != 0) {
        fprintf(stderr, "codeland-worker: %s\n", err.msg);
        return 2;
    }
    if (options.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (options.rest_len > 0) {
        fprintf(stderr, "codeland-worker: \"%s\" is not an option\n", options.rest[0]);
        return 2;
    }
    if (check_only) {
        puts("the configuration is right");
        return 0;
    }
    if (geteuid() != 0) {
        fputs("codeland-worker: must be started by root: it makes containers\n", stderr);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    log_init("worker", config_log_level(&options.config));
    survive_want_of_memory();
    bool found = locate_self(self, &err) == 0;
    if (found && options.config.paths_agent[0])
        snprintf(agent, sizeof(agent), "%s", options.config.paths_agent);
    else if (!found ||
             locate_file(agent, self, "src/agent", "libexec/codeland", "crunner", &err) != 0) {
        log_error("cannot start", LOG_ERR(&err));
        return 1;
    }
    if (access(agent, X_OK) != 0) {
        log_error("cannot start: the agent cannot be executed", LOG_S("paths.agent", agent));
        return 1;
    }
    return run(&options.config, self, agent);
}
