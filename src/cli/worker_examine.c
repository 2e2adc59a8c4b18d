#include "worker.h"

#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "process.h"
#include "template_export.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_MS 200

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Asks until it is over; the last answer, the caller's. */
static json_t *follow(struct worker_words *words, struct worker_spec *spec, bool install,
                      struct err *err)
{
    char path[120];
    json_t *body = worker_spec_json(spec);
    json_object_set_new(body, "install", json_boolean(install));
    if (words->send_template)
        json_object_set_new(body, "sendTemplate", json_string(words->send_template));
    json_t *answer = api_ask(&words->api, "POST", "/doctor", body, err);
    str_format(path, sizeof(path), "/doctor?worker=%s", spec->name);
    while (answer && strcmp(text_of(answer, "state"), "running") == 0) {
        struct pollfd stop = {.fd = words->api.stop_fd, .events = POLLIN};
        int64_t percent = PROGRESS_UNKNOWN;
        struct err ignored;
        json_get_int(answer, "percent", false, 0, 100, &percent, &ignored);
        screen_step(&words->screen, (int)percent, text_of(answer, "step"));
        json_decref(answer);
        poll(&stop, 1, PAUSE_MS);
        answer = api_ask(&words->api, "GET", path, NULL, err);
    }
    return answer;
}

static void show_checks(struct worker_words *words, const json_t *answer)
{
    size_t i;
    json_t *check;
    json_array_foreach(json_object_get(answer, "checks"), i, check)
    {
        const char *level = text_of(check, "level");
        const char *mark = strcmp(level, "ok") == 0    ? " ok "
                           : strcmp(level, "bad") == 0 ? "BAD"
                                                       : "!";
        screen_say(&words->screen, "  %-4s %-13s %s", mark, text_of(check, "name"),
                   text_of(check, "text"));
        if (strcmp(level, "ok") != 0 && text_of(check, "fix")[0])
            screen_say(&words->screen, "       %-13s %s", "", text_of(check, "fix"));
    }
}

/* Whether the person at the terminal takes the key. */
static bool ask_for_key(struct worker_words *words, const struct worker_spec *spec,
                        const json_t *answer)
{
    char target[WORKER_TARGET_MAX];
    worker_spec_target(spec, target);
    const char *key = text_of(answer, "hostKey");
    screen_say(&words->screen, "The host %s shows the key", target);
    screen_say(&words->screen, "  %s (%s)", key, text_of(answer, "hostKeyType"));
    screen_say(&words->screen,
               "which nobody has accepted. Compare it with what the host itself says:");
    screen_say(&words->screen, "  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
    if (!isatty(STDIN_FILENO)) {
        screen_say(&words->screen, "If it is the same, say so: --accept-key %s", key);
        return false;
    }
    char line[8] = "";
    printf("Is it the same? [y/N] ");
    fflush(stdout);
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = words->api.stop_fd, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0 || ready[1].revents || !fgets(line, sizeof(line), stdin))
        return false;
    return strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0;
}

static int examine(struct worker_words *words, struct worker_spec *spec, bool install,
                   struct err *err)
{
    for (;;) {
        screen_begin(&words->screen, "host", "");
        cleanup_json json_t *answer = follow(words, spec, install, err);
        if (!answer) {
            screen_failed(&words->screen, "%s", err->msg);
            return -1;
        }
        const json_t *error = json_object_get(answer, "error");
        if (!json_is_object(error)) {
            screen_done(&words->screen, "%s is ready", spec->name);
            show_checks(words, answer);
            return 0;
        }
        err_set(err, err_from_name(text_of(error, "name")), "%s", text_of(error, "message"));
        screen_failed(&words->screen, "%s", err->msg);
        show_checks(words, answer);
        if (err->code != ERR_HOST_KEY || spec->host_key[0] || !text_of(answer, "hostKey")[0] ||
            !ask_for_key(words, spec, answer))
            return -1;
        if (worker_spec_set(spec, "host_key", text_of(answer, "hostKey"), err) != 0)
            return -1;
    }
}

/* The manager is not root and cannot read a template: it gets an archive, in its own folder, for as
 * long as it is sent. path: of the archive.
 */
static int export_template(struct worker_words *words, char path[PATH_MAX], struct err *err)
{
    char folder[PATH_MAX];
    struct stat st;
    const struct template_export export = {
        .state_dir = words->options.config.paths_state_dir,
        .name = words->send_template,
        .path = path,
        .stop_fd = words->api.stop_fd,
    };
    if (!str_format(folder, sizeof(folder), "%s/manager/ssh", export.state_dir) ||
        !str_format(path, PATH_MAX, "%s/%s.template", folder, words->name))
        return err_set(err, ERR_BAD_REQUEST, "paths.state_dir is too long");
    if (stat(folder, &st) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", folder);
    screen_begin(&words->screen, "template", "");
    if (template_export(&export, &words->screen, err) != 0)
        return -1;
    if (chmod(path, 0600) != 0 || lchown(path, st.st_uid, st.st_gid) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "give %s to the manager's user", path);
    return 0;
}

int cli_worker_examine(struct worker_words *words, struct worker_spec *spec, bool install,
                       struct err *err)
{
    char path[PATH_MAX] = "";
    if (words->send_template && export_template(words, path, err) != 0) {
        screen_failed(&words->screen, "%s: %s", words->send_template, err->msg);
        unlink(path);
        return -1;
    }
    int rc = examine(words, spec, install, err);
    if (path[0])
        unlink(path);
    return rc;
}
