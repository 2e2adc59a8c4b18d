#include "verbs.h"

#include "../common/fd.h"
#include "../common/languages.h"
#include "../common/locate.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/options.h"
#include "../common/str.h"
#include "../http/server.h"
#include "../link/ssh.h"
#include "../manager/provision.h"
#include "../manager/upgrade.h"
#include "privileges.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* How it works. All that needs root, or may block, comes first: settings, the listening socket, the
 * store, the admin's token. Then root is given up, and only then does the loop run, which is what
 * reads from clients. A signal ends it: no more connections, a moment for what is under way, out.
 */
struct manager {
    struct config config;
    const char *config_path; /* NULL: the default one, which may be missing */
    char ssh_folder[PATH_MAX];
    struct privileges privileges;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t leaving;
    struct languages *languages;
    struct store *store;
    char identity[MANAGER_ID_LEN + 1]; /* "" until it is read */
    struct err identity_err;
    struct tokens *tokens;
    struct fleet *fleet;
    struct provisioner *provisioner;
    struct workers *workers;
    struct upgrades *upgrades;
    struct http_server *server;
    unsigned leave_turns;
    bool left;
};

#define LEAVE_MS 2000 /* what is under way has so long to end */
#define LEAVE_TURN_MS 20

static void leave(struct manager *manager)
{
    if (manager->left)
        return;
    manager->left = true;
    http_server_destroy(manager->server);
    upgrades_destroy(manager->upgrades);
    provisioner_destroy(manager->provisioner);
    fleet_destroy(manager->fleet);
    tokens_destroy(manager->tokens);
    store_destroy(manager->store);
    workers_destroy(manager->workers);
    languages_free(manager->languages);
    for (size_t i = 0; i < ARRAY_LEN(manager->signals); i++)
        uv_close((uv_handle_t *)&manager->signals[i], NULL);
    uv_close((uv_handle_t *)&manager->leaving, NULL);
}

static void on_leaving(uv_timer_t *timer)
{
    struct manager *manager = timer->data;
    bool idle = http_server_busy(manager->server) == 0;
    if (idle || ++manager->leave_turns > LEAVE_MS / LEAVE_TURN_MS)
        leave(manager);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct manager *manager = signal->data;
    if (uv_is_active((uv_handle_t *)&manager->leaving)) { /* the second one */
        leave(manager);
        return;
    }
    log_info("stopping", LOG_S("signal", strsignal(number)));
    http_server_stop_listening(manager->server);
    uv_timer_start(&manager->leaving, on_leaving, 0, LEAVE_TURN_MS);
}

static void watch_signals(struct manager *manager)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(&manager->loop, &manager->signals[i]);
        manager->signals[i].data = manager;
        uv_signal_start(&manager->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&manager->loop, &manager->leaving);
    manager->leaving.data = manager;
    signal(SIGPIPE, SIG_IGN);
}

/* Descriptors of each worker's link: its WATCH, those kept ready, and some to spare. */
#define WORKER_DESCRIPTORS (LINK_SPARES + 4)

/* A descriptor for every client and one for the run that each may have, and the links'; no more
 * than that, because libwebsockets makes its tables as long as the limit.
 */
static void set_descriptor_limit(const struct config *config)
{
    struct rlimit limit;
    rlim_t want =
        (rlim_t)config->http_connections_max * 2 + 128 + FLEET_WORKERS_MAX * WORKER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < want)
        log_warn("few file descriptors for http.connections_max",
                 LOG_D("have", (int64_t)limit.rlim_cur), LOG_D("want", (int64_t)want));
}

/* A folder of the manager's own, which it keeps writing to once it is no longer root. */
static int prepare_folder(const struct manager *manager, const char *below, char *path, size_t room,
                          struct err *err)
{
    if (!str_format(path, room, "%s/manager%s", manager->config.paths_state_dir, below))
        return err_set(err, ERR_INTERNAL, "paths.state_dir is too long");
    if (fd_mkdirs(manager->config.paths_state_dir, 0755, err) != 0 ||
        fd_mkdirs(path, 0700, err) != 0)
        return -1;
    if (manager->privileges.root &&
        (lchown(path, manager->privileges.uid, manager->privileges.gid) != 0 ||
         chmod(path, 0700) != 0))
        return err_sys(err, ERR_INTERNAL, errno, "give %s to \"%s\"", path,
                       manager->privileges.user);
    return 0;
}

static void on_identity(const char *id, const struct err *err, void *data)
{
    struct manager *manager = data;
    if (err)
        manager->identity_err = *err;
    else
        str_format(manager->identity, sizeof(manager->identity), "%s", id);
}

static int open_store(struct manager *manager, struct err *err)
{
    char folder[PATH_MAX], path[PATH_MAX];
    if (prepare_folder(manager, "", folder, sizeof(folder), err) != 0 ||
        prepare_folder(manager, "/ssh", manager->ssh_folder, sizeof(manager->ssh_folder), err) != 0)
        return -1;
    if (!str_format(path, sizeof(path), "%s/codeland.db", folder))
        return err_set(err, ERR_INTERNAL, "paths.state_dir is too long");
    manager->store = store_open(path, &manager->loop, err);
    if (!manager->store)
        return -1;
    store_read_identity(manager->store, on_identity, manager);
    store_wait(manager->store);
    if (!manager->identity[0]) {
        *err = manager->identity_err;
        return -1;
    }
    manager->tokens = tokens_create(manager->store, err);
    if (!manager->tokens)
        return -1;
    if (!str_format(path, sizeof(path), "%s/admin.token", manager->config.paths_state_dir))
        return err_set(err, ERR_INTERNAL, "paths.state_dir is too long");
    return tokens_ensure_admin(manager->tokens, path, err);
}

static struct ssh_place ssh_place(const struct manager *manager)
{
    return (struct ssh_place){
        .folder = manager->ssh_folder,
        .config = manager->config.ssh_config,
    };
}

/* The link that a worker is reached by; NULL when there cannot be one. */
static struct link *make_link(uv_loop_t *loop, const struct worker_spec *spec, void *data,
                              struct err *err)
{
    const struct manager *manager = data;
    const struct ssh_place place = ssh_place(manager);
    struct link *link = spec->host[0] ? link_ssh_create(loop, spec, &place, err)
                                      : link_local_create(loop, spec->socket);
    if (link)
        link_set_manager(link, manager->identity);
    return link;
}

static int add_workers(struct manager *manager, struct err *err)
{
    struct worker_specs configured = {0};
    struct worker_spec local;
    manager->fleet = fleet_create(&manager->loop);
    manager->workers =
        workers_create(&manager->loop, manager->fleet, manager->store, make_link, manager);
    int rc = 0;
    if (!worker_spec_init(&local, manager->config.worker_name) ||
        !str_format(local.socket, sizeof(local.socket), "%s/worker.sock",
                    manager->config.paths_run_dir))
        rc = err_set(err, ERR_INTERNAL, "paths.run_dir is too long");
    if (rc == 0)
        rc = config_read_hosts(manager->config_path ? manager->config_path : CONFIG_DEFAULT_PATH,
                               !manager->config_path, &configured, err);
    if (rc == 0)
        rc = workers_load(manager->workers, &configured, &local, err);
    worker_specs_finish(&configured);
    return rc;
}

static int load_languages(struct manager *manager, struct err *err)
{
    manager->languages = languages_load_configured(&manager->config, err);
    return manager->languages ? 0 : -1;
}

static int start(struct manager *manager, struct err *err)
{
    char self[PATH_MAX];
    cleanup_close int fd = -1;
    if (privileges_find(&manager->privileges, manager->config.http_user, manager->config.http_group,
                        err) != 0 ||
        privileges_seal(&manager->privileges, err) != 0)
        return -1;
    fd = http_listen(manager->config.http_listen, err);
    if (fd < 0 || load_languages(manager, err) != 0 || open_store(manager, err) != 0 ||
        add_workers(manager, err) != 0 || locate_self(self, err) != 0)
        return -1;
    const struct ssh_place place = ssh_place(manager);
    manager->provisioner = provisioner_create(&manager->loop, &place, self);
    manager->upgrades =
        upgrades_create(&manager->loop, manager->fleet, manager->workers, manager->provisioner);
    const struct app app = {
        .loop = &manager->loop,
        .config = &manager->config,
        .fleet = manager->fleet,
        .workers = manager->workers,
        .tokens = manager->tokens,
        .provisioner = manager->provisioner,
        .languages = manager->languages,
    };
    manager->server = http_server_create(&app, steal_fd(&fd), &http_timeouts_default, err);
    if (!manager->server)
        return -1;
    return privileges_drop(&manager->privileges, err);
}

static int serve(const struct options *options)
{
    const struct config *config = &options->config;
    struct err err;
    struct manager manager = {.config = *config, .config_path = options->config_path};
    umask(077);
    log_init("codeland", config_log_level(config));
    set_descriptor_limit(config);
    uv_loop_init(&manager.loop);
    watch_signals(&manager);
    int status = start(&manager, &err);
    if (status == 0) {
        log_info("serving", LOG_S("listen", manager.config.http_listen),
                 LOG_S("version", CODELAND_VERSION));
    } else {
        log_error("cannot start", LOG_ERR(&err));
        leave(&manager);
    }
    uv_run(&manager.loop, UV_RUN_DEFAULT);
    uv_loop_close(&manager.loop);
    return status == 0 ? EXIT_OK : EXIT_FAILED;
}

int cli_serve(int argc, char **argv)
{
    struct err err;
    struct options options;
    bool check = options_take_flag(&argc, argv, "--check-config");
    int status = options_parse(&options, argc, argv, &err);
    if (status == 0 && options.rest_len > 0)
        status = err_set(&err, ERR_BAD_REQUEST, "\"%.60s\" is one word too many", options.rest[0]);
    if (status != 0) {
        fprintf(stderr, "codeland serve: %s\n", err.msg);
        return EXIT_USAGE;
    }
    if (check) {
        printf("%s: ok\n", options.config_path ? options.config_path : CONFIG_DEFAULT_PATH);
        return EXIT_OK;
    }
    return serve(&options);
}
