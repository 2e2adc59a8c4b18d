#include "worker.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_MAX 16384
#define UP_MS 30000
#define PAUSE_MS 200

static int fill(const struct worker_words *words, struct worker_spec *spec, struct err *err)
{
    const struct {
        const char *key, *value;
    } fields[] = {
        {"ssh", words->ssh},
        {"jump", words->jump},
        {"host_key", words->accept_key},
        {"socket", words->socket},
    };
    worker_spec_init(spec, words->name);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].value && worker_spec_set(spec, fields[i].key, fields[i].value, err) != 0)
            return -1;
    if (!words->ssh && !words->socket)
        return err_set(err, ERR_BAD_REQUEST, "say how it is reached: --ssh USER@HOST[:PORT]");
    return worker_spec_check(spec, err);
}

/* The manager is not root and must be able to read the key: it gets a copy that is its own, in its
 * own folder. path: of the copy.
 */
static int copy_identity(const struct worker_words *words, char path[PATH_MAX], struct err *err)
{
    char folder[PATH_MAX], text[KEY_MAX];
    struct stat st;
    ssize_t len = fd_read_file(AT_FDCWD, words->identity, text, sizeof(text));
    if (len < 0)
        return err_sys(err, ERR_BAD_REQUEST, errno, "--identity: %s", words->identity);
    if (!str_format(folder, sizeof(folder), "%s/manager/ssh",
                    words->options.config.paths_state_dir) ||
        !str_format(path, PATH_MAX, "%s/%s.key", folder, words->name))
        return err_set(err, ERR_BAD_REQUEST, "paths.state_dir is too long");
    if (stat(folder, &st) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", folder);
    int rc = fd_replace_file(path, text, (size_t)len, 0600, true, err);
    explicit_bzero(text, sizeof(text));
    if (rc == 0 && lchown(path, st.st_uid, st.st_gid) != 0)
        rc = err_sys(err, ERR_INTERNAL, errno, "give %s to the manager's user", path);
    return rc;
}

static bool link_up(struct worker_words *words, struct err *err)
{
    char path[120];
    struct err ignored;
    json_t *link = NULL;
    const char *state = "", *why = NULL;
    cli_worker_path(path, words->name, "");
    cleanup_json json_t *answer = api_ask(&words->api, "GET", path, NULL, err);
    if (!answer || json_get_object(answer, "link", true, &link, err) != 0)
        return false;
    json_get_string(link, "state", true, &state, NULL, &ignored);
    json_get_string(link, "lastError", false, &why, NULL, &ignored);
    err_set(err, ERR_NOT_AVAILABLE, "%s", why ? why : "it is being connected to");
    return strcmp(state, "up") == 0;
}

static int wait_until_up(struct worker_words *words, struct err *err)
{
    screen_begin(&words->screen, "link", "connecting");
    for (int turn = 0; turn < UP_MS / PAUSE_MS; turn++) {
        struct pollfd stop = {.fd = words->api.stop_fd, .events = POLLIN};
        if (link_up(words, err)) {
            screen_done(&words->screen, "%s takes runs", words->name);
            return 0;
        }
        screen_step(&words->screen, PROGRESS_UNKNOWN, err->msg);
        if (poll(&stop, 1, PAUSE_MS) > 0)
            break;
    }
    screen_failed(&words->screen, "%s", err->msg);
    return -1;
}

static int add(struct worker_words *words, struct worker_spec *spec, struct err *err)
{
    if (spec->host[0] && cli_worker_examine(words, spec, words->install, err) != 0)
        return -1;
    cleanup_json json_t *answer =
        api_ask(&words->api, "POST", "/workers", worker_spec_json(spec), err);
    if (!answer) {
        cli_worker_failed(err);
        return -1;
    }
    return wait_until_up(words, err);
}

/* A name that the fleet has already keeps its key. */
static bool name_is_taken(struct worker_words *words)
{
    char path[120];
    struct err err;
    cli_worker_path(path, words->name, "");
    json_t *answer = api_ask(&words->api, "GET", path, NULL, &err);
    json_decref(answer);
    return answer != NULL;
}

int cli_worker_add(struct worker_words *words)
{
    struct err err;
    struct worker_spec spec;
    char key[PATH_MAX] = "";
    if (fill(words, &spec, &err) != 0) {
        cli_worker_failed(&err);
        return EXIT_USAGE;
    }
    if (name_is_taken(words)) {
        err_set(&err, ERR_NAME_TAKEN, "there is a worker \"%s\" already", words->name);
        return cli_worker_failed(&err);
    }
    if (words->identity && (copy_identity(words, key, &err) != 0 ||
                            worker_spec_set(&spec, "identity", key, &err) != 0))
        return cli_worker_failed(&err);
    if (add(words, &spec, &err) == 0)
        return EXIT_OK;
    if (key[0] && !name_is_taken(words))
        unlink(key);
    return EXIT_FAILED;
}

int cli_worker_doctor(struct worker_words *words)
{
    char path[120];
    struct err err;
    struct worker_spec spec;
    json_t *fields = NULL;
    cli_worker_path(path, words->name, "");
    cleanup_json json_t *answer = api_ask(&words->api, "GET", path, NULL, &err);
    if (!answer || json_get_object(answer, "spec", true, &fields, &err) != 0)
        return cli_worker_failed(&err);
    json_object_set_new(fields, "name", json_string(words->name)); /* it stands beside the spec */
    if (worker_spec_parse(fields, NULL, &spec, &err) != 0)
        return cli_worker_failed(&err);
    return cli_worker_examine(words, &spec, words->install, &err) == 0 ? EXIT_OK : EXIT_FAILED;
}
