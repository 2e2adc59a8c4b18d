/* `codeland up`: everything on this machine, from nothing to a first run, and then supervised.
 *
 * How it works. One process, one thread. It looks at the machine (preflight), makes the template
 * when there is none (template_build), starts the worker and the manager as children (supervise),
 * asks the API until it is ready and runs a hello (hello), and then keeps both running until
 * SIGINT, SIGTERM or SIGHUP. The end comes in this order: the manager by SIGTERM, so that nothing
 * new arrives; the worker by SIGINT, which destroys all its runners. A worker that died or had to
 * be killed cannot have done that: the orphans that came to this process are killed, and it is
 * started once more, alone, to clear away what is left of them.
 */
#include "hello.h"
#include "preflight.h"
#include "process.h"
#include "supervise.h"
#include "template_build.h"
#include "verbs.h"

#include "../common/fd.h"
#include "../common/locate.h"
#include "../common/options.h"
#include "../common/str.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define READY_PAUSE_MS 20
#define FILL_MS 3000
#define FILL_PAUSE_MS 100
#define MANAGER_STOP_MS 5000
#define WORKER_STOP_MS 20000
#define WORKER_START_MS 10000
#define ORPHANS_MS 5000
#define CLEAN_UP_TRIES 3

/* A daemon that dies this often before anything ever worked will not work later. */
#define DEATHS_AT_START 3

struct up {
    struct options options;
    const struct config *config;
    struct screen screen;
    struct logs logs;
    struct supervisor supervisor;
    struct daemon worker, manager;
    const char *worker_argv[OPTIONS_WORDS_MAX + 1], *manager_argv[OPTIONS_WORDS_MAX + 2];
    char self[PATH_MAX], worker_path[PATH_MAX];
    int stop_fd, lock;
    char token[HELLO_TOKEN_MAX];
};

/* ---- before anything is started ---- */

static int prepare(struct up *up, struct err *err)
{
    if (locate_self(up->self, err) != 0 ||
        locate_file(up->worker_path, up->self, "src/worker", "libexec/codeland", "codeland-worker",
                    err) != 0)
        return -1;
    up->worker_argv[0] = up->worker_path;
    options_words(&up->options, up->worker_argv + 1);
    up->manager_argv[0] = up->self;
    up->manager_argv[1] = "serve";
    options_words(&up->options, up->manager_argv + 2);
    return 0;
}

static int ensure_template(struct up *up, struct err *err)
{
    const char *state_dir = up->config->paths_state_dir, *name = up->config->oven_template;
    struct template_info info;
    template_build_sweep(state_dir);
    screen_begin(&up->screen, "template", "");
    if (template_check(state_dir, name, err) == 0 &&
        template_read(state_dir, name, &info, err) == 0) {
        screen_done(&up->screen, "%s, %.0f MB, %zu packages", name, (double)info.size_bytes / 1e6,
                    info.packages);
        return 0;
    }
    if (err->code != ERR_NOT_FOUND)
        screen_event(&up->screen, SCREEN_BAD, "%s", err->msg);
    const struct template_build build = {
        .state_dir = state_dir,
        .name = name,
        .self = up->self,
        .config = up->config,
        .stop_fd = up->stop_fd,
    };
    return template_build(&build, &up->screen, err);
}

/* ---- from the first start to the first run ---- */

static bool stop_wanted(const struct up *up)
{
    return up->supervisor.stops > 0;
}

/* It did not even take its options: it has done nothing, and will do nothing. */
static bool refused_options(const struct daemon *daemon)
{
    return daemon->restart.deaths > 0 && WIFEXITED(daemon->status) &&
           WEXITSTATUS(daemon->status) == EXIT_USAGE;
}

static bool hopeless(const struct daemon *daemon)
{
    return daemon->restart.deaths >= DEATHS_AT_START || refused_options(daemon);
}

/* Supervises for a while; many turns, for the question itself makes log lines. */
static void supervise_for(struct up *up, int ms)
{
    mono_us deadline = clock_now(&clock_system) + (mono_us)ms * US_PER_MS;
    for (mono_us left; !stop_wanted(up) && (left = deadline - clock_now(&clock_system)) > 0;)
        supervise_turn(&up->supervisor, (int)(left / US_PER_MS) + 1);
}

static int wait_until_ready(struct up *up, struct err *err)
{
    screen_begin(&up->screen, "oven", "starting the worker and the manager");
    while (!stop_wanted(up)) {
        struct daemon *const daemons[] = {&up->worker, &up->manager};
        for (size_t i = 0; i < 2; i++)
            if (hopeless(daemons[i]))
                return err_set(err, ERR_NOT_AVAILABLE, "the %s does not start: %.180s",
                               daemons[i]->name, daemons[i]->last_line);
        if (hello_ready(up->config, up->stop_fd, err))
            return 0;
        if (err->code != ERR_BAD_GATEWAY && err->code != ERR_TIMED_OUT)
            screen_step(&up->screen, PROGRESS_UNKNOWN, err->msg);
        supervise_for(up, READY_PAUSE_MS);
    }
    return err_set(err, ERR_TIMED_OUT, "interrupted");
}

/* It is ready with the first runner; the others are waited for, if they do not take long, so that
 * the hello does not compete with them.
 */
static void show_oven(struct up *up)
{
    mono_us deadline = clock_now(&clock_system) + (mono_us)FILL_MS * US_PER_MS;
    int64_t available = 0, cooking = 0;
    bool told;
    while ((told = hello_oven(up->config, up->token, up->stop_fd, &available, &cooking)) &&
           cooking > 0 && clock_now(&clock_system) < deadline && !stop_wanted(up))
        supervise_for(up, FILL_PAUSE_MS);
    char took[24];
    progress_duration(took, sizeof(took), screen_elapsed(&up->screen));
    if (told)
        screen_done(&up->screen, "%" PRId64 " runners are warm after %s", available, took);
    else
        screen_done(&up->screen, "warm after %s", took);
}

static int say_hello(struct up *up, struct err *err)
{
    char said[200];
    double duration_ms;
    if (hello_token(up->config, up->token, err) != 0)
        return -1;
    show_oven(up);
    screen_begin(&up->screen, "hello", "");
    if (hello_run(up->config, up->token, up->stop_fd, said, sizeof(said), &duration_ms, err) != 0)
        return -1;
    screen_done(&up->screen, "\"%s\", run in a fresh container in %.1f ms", said, duration_ms);
    return 0;
}

static void show_facts(struct up *up)
{
    struct screen *screen = &up->screen;
    const char *listen = up->config->http_listen;
    screen_say(screen, "%s", "");
    screen_fact(screen, "URL", "http://%s", listen);
    if (up->token[0])
        screen_fact(screen, "token", "%s", up->token);
    if (up->logs.path[0])
        screen_fact(screen, "log", "%s", up->logs.path);
    screen_say(screen, "%s", "");
    screen_say(screen, "  Try it:");
    screen_say(screen, "    curl http://%s/api/v1/runner/run \\", listen);
    screen_say(screen, "      -H 'auth-token: %s' \\", up->token[0] ? up->token : "TOKEN");
    screen_say(screen, "      --json '{\"code\": \"echo hi; uname -a\"}'");
    screen_say(screen, "%s", "");
    screen_say(screen, "  Ctrl-C stops everything and leaves nothing behind.");
    screen_say(screen, "%s", "");
}

static void start_daemons(struct up *up)
{
    up->worker = (struct daemon){.name = "worker", .argv = up->worker_argv, .stop_signal = SIGINT};
    up->manager =
        (struct daemon){.name = "manager", .argv = up->manager_argv, .stop_signal = SIGTERM};
    supervise_init(&up->supervisor, &up->screen, &up->logs, up->stop_fd);
    supervise_add(&up->supervisor, &up->worker);
    supervise_add(&up->supervisor, &up->manager);
}

/* ---- the end ---- */

/* Whether this worker listens: an orphan of an earlier one may still hold that one's socket. */
static bool worker_answers(const struct up *up)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred listener = {0};
    socklen_t len = sizeof(listener);
    if (!str_format(address.sun_path, sizeof(address.sun_path), "%s/worker.sock",
                    up->config->paths_run_dir))
        return false;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0 &&
           listener.pid == up->worker.pid;
}

/* Whether it ended by itself, and so has destroyed its runners. */
static bool stop_worker(struct up *up)
{
    return up->worker.pid > 0 && supervise_stop(&up->supervisor, &up->worker, WORKER_STOP_MS) &&
           WIFEXITED(up->worker.status) && WEXITSTATUS(up->worker.status) == 0;
}

/* A worker that did not end well is started again, only to end well. One that is ended by the
 * signal itself was not ready to take it, and had done nothing yet.
 */
static bool clean_up_after_worker(struct up *up)
{
    for (int tries = 0; tries < CLEAN_UP_TRIES; tries++) {
        mono_us deadline = clock_now(&clock_system) + (mono_us)WORKER_START_MS * US_PER_MS;
        if (!supervise_start_once(&up->supervisor, &up->worker))
            return false;
        while (up->worker.pid > 0 && !worker_answers(up) && clock_now(&clock_system) < deadline)
            supervise_turn(&up->supervisor, READY_PAUSE_MS);
        if (stop_worker(up))
            return true;
        if (!WIFSIGNALED(up->worker.status) ||
            WTERMSIG(up->worker.status) != up->worker.stop_signal)
            return false;
    }
    return false;
}

static bool stop_daemons(struct up *up)
{
    bool manager_ended = supervise_stop(&up->supervisor, &up->manager, MANAGER_STOP_MS);
    if (!manager_ended)
        screen_event(&up->screen, SCREEN_BAD, "the manager had to be killed");
    bool clean = refused_options(&up->worker) || stop_worker(up);
    if (!clean) {
        screen_step(&up->screen, PROGRESS_UNKNOWN,
                    "cleaning up after a worker that did not end well");
        process_kill_children(ORPHANS_MS); /* what still runs would keep its cgroup */
        clean = clean_up_after_worker(up);
    }
    if (!process_kill_children(ORPHANS_MS)) {
        screen_event(&up->screen, SCREEN_BAD, "some processes cannot be killed");
        clean = false;
    }
    supervise_finish(&up->supervisor);
    return clean;
}

static int stop(struct up *up)
{
    screen_begin(&up->screen, "stop", "stopping");
    if (!stop_daemons(up)) {
        screen_failed(&up->screen, "something may be left; the next start clears it away");
        return -1;
    }
    char took[24];
    progress_duration(took, sizeof(took), screen_elapsed(&up->screen));
    screen_done(&up->screen, "all stopped in %s", took);
    return 0;
}

static int run(struct up *up)
{
    struct err err = {0};
    start_daemons(up);
    int code = wait_until_ready(up, &err) == 0 || stop_wanted(up) ? EXIT_OK : EXIT_FAILED;
    if (code != EXIT_OK)
        screen_failed(&up->screen, "%s", err.msg);
    if (code == EXIT_OK && !stop_wanted(up)) {
        if (say_hello(up, &err) != 0)
            screen_failed(&up->screen, "%s", err.msg);
        show_facts(up);
        while (!stop_wanted(up))
            supervise_turn(&up->supervisor, 60000);
    }
    return stop(up) == 0 ? code : EXIT_FAILED;
}

int cli_up(int argc, char **argv)
{
    static struct up up; /* too large for a stack */
    struct err err;
    up.config = &up.options.config;
    up.lock = -1;
    if (options_parse(&up.options, argc, argv, &err) != 0 ||
        (up.options.rest_len > 0 &&
         err_set(&err, ERR_BAD_REQUEST, "unknown word \"%s\"", up.options.rest[0]) != 0)) {
        fprintf(stderr, "codeland up: %s\n", err.msg);
        return EXIT_USAGE;
    }
    up.stop_fd = process_catch_stop();
    screen_init(&up.screen, STDOUT_FILENO);
    if (prepare(&up, &err) != 0 || (up.lock = preflight_begin(up.config, &err)) < 0) {
        fprintf(stderr, "codeland up: %s\n", err.msg);
        return EXIT_FAILED;
    }
    screen_say(&up.screen, "CodeLand %s", CODELAND_VERSION);
    screen_say(&up.screen, "%s", "");
    int code = EXIT_FAILED;
    if (ensure_template(&up, &err) != 0)
        screen_failed(&up.screen, "%s", err.msg);
    else if (logs_open(&up.logs, &up.screen, up.config->paths_state_dir, &err) != 0)
        fprintf(stderr, "codeland up: %s\n", err.msg);
    else
        code = run(&up);
    logs_close(&up.logs);
    preflight_end(up.config, up.lock);
    return code;
}
