#include "worker.h"

#include "../common/str.h"
#include "verbs.h"

#include <limits.h>
#include <unistd.h>

/* What goes on on the worker has so long to end; the answer comes when it has. */
#define REMOVE_WAIT "?wait=50"

static int post(struct worker_words *words, const char *below, const char *done)
{
    char path[120];
    struct err err;
    cli_worker_path(path, words->name, below);
    json_t *answer = api_ask(&words->api, "POST", path, json_object(), &err);
    if (!answer)
        return cli_worker_failed(&err);
    json_decref(answer);
    screen_say(&words->screen, "%s %s", words->name, done);
    return EXIT_OK;
}

int cli_worker_drain(struct worker_words *words)
{
    return post(words, "/drain", "takes no new runs");
}

int cli_worker_resume(struct worker_words *words)
{
    return post(words, "/resume", "takes runs again");
}

/* The host itself keeps its worker; what goes is our way to it, the copy of the key included. */
int cli_worker_rm(struct worker_words *words)
{
    char path[120], key[PATH_MAX];
    struct err err;
    cli_worker_path(path, words->name, words->force ? REMOVE_WAIT "&force=true" : REMOVE_WAIT);
    screen_begin(&words->screen, "worker", "waiting for what goes on there");
    json_t *answer = api_ask(&words->api, "DELETE", path, NULL, &err);
    if (!answer) {
        screen_failed(&words->screen, "%s", err.msg);
        return EXIT_FAILED;
    }
    json_decref(answer);
    if (str_format(key, sizeof(key), "%s/manager/ssh/%s.key", words->options.config.paths_state_dir,
                   words->name))
        unlink(key);
    screen_done(&words->screen, "%s is removed", words->name);
    return EXIT_OK;
}
