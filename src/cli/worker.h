/* `codeland worker`: what its verbs have in common. */
#ifndef CLI_WORKER_H
#define CLI_WORKER_H

#include "../common/worker_spec.h"
#include "api.h"
#include "screen.h"

/* The words after the verb. Texts are argv's. */
struct worker_words {
    struct options options;
    const char *name; /* "" */
    const char *ssh, *identity, *jump, *accept_key, *socket, *send_template;
    bool install, force;
    struct api api;
    struct screen screen;
};

/* Each returns the program's exit code and has said why. */
int cli_worker_add(struct worker_words *words);
int cli_worker_doctor(struct worker_words *words);
int cli_worker_ls(struct worker_words *words);
int cli_worker_show(struct worker_words *words);
int cli_worker_rm(struct worker_words *words);
int cli_worker_drain(struct worker_words *words);
int cli_worker_resume(struct worker_words *words);

/* "codeland worker: MESSAGE" to stderr; EXIT_FAILED. */
int cli_worker_failed(const struct err *err);

/* /workers/NAME, with below after it. */
void cli_worker_path(char path[120], const char *name, const char *below);

/* Has the host looked at, installed if asked for, with words->send_template when it is named, and
 * shows how it goes and what was found. When the host's key is unknown, a person at the terminal is
 * asked, and spec gets the key. 0: it is ready.
 */
int cli_worker_examine(struct worker_words *words, struct worker_spec *spec, bool install,
                       struct err *err);

#endif
