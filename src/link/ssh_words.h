/* OpenSSH's command line for a worker's host, and what its stderr says, told in our own words.
 *
 * Host keys are always checked, by ssh itself. Where a key is pinned, ssh asks for the known ones a
 * command (KnownHostsCommand) that answers with the host's key if, and only if, it has the pinned
 * fingerprint; the user's own known_hosts do not count then. The same command tells us of a key
 * that was not known, so that a person can be asked about it.
 */
#ifndef LINK_SSH_WORDS_H
#define LINK_SSH_WORDS_H

#include "../common/worker_spec.h"

/* ssh takes the first kind of key that both sides have; a pinned one may be of another. Each try
 * after a refusal is of the next family.
 */
#define SSH_FAMILIES 4

/* OpenSSH's exit status when the command could not be run, was killed, or its connection was lost.
 */
#define SSH_FAILED 255

struct ssh_request {
    const struct worker_spec *spec;
    const char *config;  /* ssh -F; "": the user's and the system's own */
    unsigned family;     /* 0..SSH_FAMILIES-1 */
    const char *forward; /* a local socket that becomes the worker's; NULL: none */
    const char *command; /* for the host's shell: a constant of ours; NULL: no session (ssh -N) */
};

/* The words, NULL-terminated; ssh_words_free frees them. */
char **ssh_words(const struct ssh_request *request);
void ssh_words_free(char **words);

/* Whether ssh takes the path for what it is, in -L and elsewhere. */
bool ssh_path_plain(const char *path);

struct ssh_story {
    char last_line[240];          /* of stderr, for people: without secrets */
    char key[WORKER_KEY_LEN + 1]; /* the host's, when it was refused or is not known */
    char key_type[32];
    bool key_refused, key_changed, login_refused;
};

/* Takes the next line of stderr; begin with all zeros. */
void ssh_story_line(struct ssh_story *story, const char *line);

/* Whether it ended as it does when the host has no key of that family: without a word. */
bool ssh_story_silent(const struct ssh_story *story, unsigned family, int64_t exit_status);

/* Why it ended: a sentence about the host, ERR_BAD_GATEWAY, ERR_HOST_KEY or ERR_FORBIDDEN. */
int ssh_story_explain(const struct ssh_story *story, const struct worker_spec *spec,
                      int64_t exit_status, int signal, struct err *err);

#endif
