#include "ssh.h"

#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "../loop/timer.h"
#include "ssh_child.h"
#include "ssh_words.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* How it works. Idle until the first connect; then ssh runs, or a timer does until it is started
 * again. ssh makes the local socket once it is logged in: a connect before that is refused at once,
 * with the reason. When ssh ends, so do all connections through it, as those of a worker that died.
 *
 * A sshd sends small packets without delay (TCP_NODELAY) only once there is a session; to a client
 * that merely forwards (ssh -N) what follows a first packet waits for its acknowledgement, 40 ms.
 * So there is a session, whose command does nothing until its stdin ends: when we close our end,
 * when we are gone, or when the connection is. A login that runs nothing has a slower link.
 */
struct tunnel {
    uv_loop_t *loop;
    struct worker_spec spec;
    char target[WORKER_TARGET_MAX];
    char *config;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    struct link_status *status;
    struct ssh_child *child;
    uv_timer_t *pause;
    unsigned tries, family;
    bool settled;     /* the pinned key is of this family: it was logged in with */
    int hold;         /* the pipe that keeps the session's command waiting; -1: none is held */
    bool sessionless; /* the next one is */
    mono_us started;
    struct ssh_story story;
    struct err why; /* of its last end; "" while nothing is wrong */
};

/* One that lasted so long was well: the next pause is a short one. */
#define WELL_US (10 * (mono_us)US_PER_SEC)

#define WAIT_COMMAND "exec cat >/dev/null"

unsigned ssh_pause_ms(unsigned tries, uint32_t chance)
{
    unsigned most = SSH_PAUSE_MIN_MS;
    while (tries-- > 0 && most < SSH_PAUSE_MAX_MS)
        most *= 2;
    if (most > SSH_PAUSE_MAX_MS)
        most = SSH_PAUSE_MAX_MS;
    unsigned least = most / 2 > SSH_PAUSE_MIN_MS ? most / 2 : SSH_PAUSE_MIN_MS;
    return least + chance % (most - least + 1);
}

static void start(struct tunnel *tunnel);

static void on_pause_over(uv_timer_t *timer)
{
    start(timer->data);
}

static void pause_then_start(struct tunnel *tunnel)
{
    uint32_t chance = 0;
    uv_random(NULL, NULL, &chance, sizeof(chance), 0, NULL); /* without it: no jitter, no harm */
    uv_timer_start(tunnel->pause, on_pause_over, ssh_pause_ms(tunnel->tries++, chance), 0);
}

static void on_line(bool is_err, const char *line, void *data)
{
    struct tunnel *tunnel = data;
    if (!is_err)
        return;
    ssh_story_line(&tunnel->story, line);
    memcpy(tunnel->status->last_line, tunnel->story.last_line, sizeof(tunnel->story.last_line));
}

/* A pinned key that was not shown may be of another family. */
static void choose_family(struct tunnel *tunnel, bool silent)
{
    tunnel->settled |= access(tunnel->path, F_OK) == 0;
    if (!tunnel->spec.host_key[0] || !(tunnel->story.key_refused || (silent && !tunnel->settled)))
        return;
    tunnel->family = (tunnel->family + 1) % SSH_FAMILIES;
    tunnel->settled = false;
}

/* Logged in, and over at once without a word: nothing there runs the command that does nothing, its
 * shell (nologin) or sshd (MaxSessions 0, when ssh ends with its own status). An ssh whose session
 * was refused lives on as long as a connection through it does.
 */
static bool session_refused(const struct tunnel *tunnel, int64_t exit_status, int signal)
{
    if (tunnel->sessionless || signal != 0 || access(tunnel->path, F_OK) != 0)
        return false;
    return exit_status != SSH_FAILED || !tunnel->story.last_line[0];
}

static void on_ended(int64_t exit_status, int signal, void *data)
{
    struct tunnel *tunnel = data;
    struct err why;
    bool was_well = clock_now(&clock_system) - tunnel->started > WELL_US;
    if (was_well)
        tunnel->tries = 0;
    tunnel->sessionless = !was_well && session_refused(tunnel, exit_status, signal);
    if (tunnel->sessionless)
        err_set(
            &why, ERR_BAD_GATEWAY,
            "the login at %.100s runs no command (ssh ended with %d): the link will do without, "
            "and may be some 40 ms slower",
            tunnel->target, (int)exit_status);
    else
        ssh_story_explain(&tunnel->story, &tunnel->spec, exit_status, signal, &why);
    bool silent = ssh_story_silent(&tunnel->story, tunnel->family, exit_status);
    choose_family(tunnel, silent);
    if (!silent && strcmp(why.msg, tunnel->why.msg) != 0)
        log_warn("ssh ended", LOG_S("worker", tunnel->spec.name), LOG_ERR(&why));
    if (!silent)
        tunnel->why = why;
    ssh_child_destroy(tunnel->child);
    tunnel->child = NULL;
    fd_close(&tunnel->hold);
    unlink(tunnel->path);
    pause_then_start(tunnel);
}

static const struct ssh_child_ops child_ops = {.on_line = on_line, .on_ended = on_ended};

static int start_child(struct tunnel *tunnel)
{
    const struct ssh_request request = {
        .spec = &tunnel->spec,
        .config = tunnel->config,
        .family = tunnel->family,
        .forward = tunnel->path,
        .command = tunnel->sessionless ? NULL : WAIT_COMMAND,
    };
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(&tunnel->why, ERR_INTERNAL, errno, "cannot make a pipe for ssh");
    cleanup_close int input = ends[0];
    tunnel->hold = ends[1];
    char **words = ssh_words(&request);
    tunnel->child = ssh_child_start(tunnel->loop, words, input, &child_ops, tunnel, &tunnel->why);
    ssh_words_free(words);
    return tunnel->child ? 0 : -1;
}

static void start(struct tunnel *tunnel)
{
    tunnel->started = clock_now(&clock_system);
    tunnel->story = (struct ssh_story){0};
    unlink(tunnel->path); /* of an earlier one: its presence says that this one is logged in */
    if (start_child(tunnel) != 0) {
        fd_close(&tunnel->hold);
        pause_then_start(tunnel);
    }
}

static struct chan *tunnel_connect(void *self, uv_loop_t *loop, const struct chan_ops *ops,
                                   void *data, struct err *err)
{
    struct tunnel *tunnel = self;
    if (!tunnel->child && !uv_is_active((uv_handle_t *)tunnel->pause))
        start(tunnel);
    if (tunnel->child && access(tunnel->path, F_OK) == 0) {
        tunnel->why.msg[0] = '\0';
        return chan_connect(loop, tunnel->path, ops, data, err);
    }
    if (tunnel->why.msg[0])
        *err = tunnel->why;
    else
        err_set(err, ERR_BAD_GATEWAY, "ssh is connecting to %.150s", tunnel->target);
    return NULL;
}

static const char *tunnel_location(const void *self)
{
    const struct tunnel *tunnel = self;
    return tunnel->target;
}

static void tunnel_destroy(void *self)
{
    struct tunnel *tunnel = self;
    ssh_child_destroy(tunnel->child);
    fd_close(&tunnel->hold);
    loop_timer_destroy(tunnel->pause);
    unlink(tunnel->path);
    free(tunnel->config);
    free(tunnel);
}

static const struct link_transport tunnel_transport = {
    .connect = tunnel_connect,
    .location = tunnel_location,
    .destroy = tunnel_destroy,
};

struct link *link_ssh_create(uv_loop_t *loop, const struct worker_spec *spec,
                             const struct ssh_place *place, struct err *err)
{
    struct tunnel *tunnel = mem_new(struct tunnel);
    if (!str_format(tunnel->path, sizeof(tunnel->path), "%s/%s.sock", place->folder, spec->name) ||
        !ssh_path_plain(tunnel->path)) {
        err_set(err, ERR_BAD_REQUEST,
                "%.100s/%s.sock: no path for a socket of ssh: at most %zu bytes, no blanks nor "
                "any of : %% $ ~ \\ and quotes",
                place->folder, spec->name, sizeof(tunnel->path) - 1);
        free(tunnel);
        return NULL;
    }
    tunnel->loop = loop;
    tunnel->hold = -1;
    tunnel->spec = *spec;
    tunnel->config = mem_strdup(place->config);
    worker_spec_target(spec, tunnel->target);
    tunnel->pause = loop_timer_create(loop, tunnel);
    struct link *link = link_create(loop, &tunnel_transport, tunnel);
    tunnel->status = link_transport_status(link);
    return link;
}
