#include "ssh_words.h"

#include "../common/mask.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 80
#define KEY_MARK "codeland-key "

/* A link that is silent for 12 s is dead: two of three questions have had no answer. */
static const char *const settings[] = {
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=4",
    "ServerAliveCountMax=2",
    "ConnectTimeout=10",
    "ConnectionAttempts=1",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "UpdateHostKeys=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "StdinNull=no",
    "LogLevel=ERROR",
    "CheckHostIP=no",
    "ForkAfterAuthentication=no",
};

static const char *const families[SSH_FAMILIES] = {
    "", /* ssh's own order */
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
};

struct words {
    char **list;
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *fmt, ...)
{
    va_list args;
    if (words->count == WORDS_MAX)
        abort(); /* the table of settings grew: so must the bound */
    va_start(args, fmt);
    if (vasprintf(&words->list[words->count++], fmt, args) < 0)
        mem_exhausted();
    va_end(args);
}

/* ssh splits this at blanks itself and runs it without a shell; $1.. are the shell's words. %f, %t,
 * %K: the host's fingerprint, its key's type, the key; %H: how known_hosts would call it.
 */
static void add_host_key(struct words *words, const struct worker_spec *spec)
{
    bool pinned = spec->host_key[0] != '\0';
    if (pinned) {
        add(words, "-oUserKnownHostsFile=/dev/null");
        add(words, "-oGlobalKnownHostsFile=/dev/null");
        add(words, "-oHostKeyAlias=codeland-%s", spec->name);
    }
    add(words,
        "-oKnownHostsCommand=/bin/sh -c \"if test $1 = $2; then echo $3 $4 $5; "
        "elif test $1 != NONE; then echo " KEY_MARK "$1 $4 >&2; fi\" sh %%f %s %%H %%t %%K",
        pinned ? spec->host_key : "-");
}

char **ssh_words(const struct ssh_request *request)
{
    const struct worker_spec *spec = request->spec;
    struct words words = {.list = mem_calloc(WORDS_MAX + 1, sizeof(char *))};
    add(&words, "ssh");
    if (request->config[0])
        add(&words, "-F%s", request->config);
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        add(&words, "-o%s", settings[i]);
    add_host_key(&words, spec);
    if (families[request->family][0])
        add(&words, "-oHostKeyAlgorithms=%s", families[request->family]);
    if (spec->identity[0]) {
        add(&words, "-i%s", spec->identity);
        add(&words, "-oIdentitiesOnly=yes");
    }
    if (spec->jump[0])
        add(&words, "-J%s", spec->jump);
    if (spec->user[0])
        add(&words, "-l%s", spec->user);
    if (spec->port)
        add(&words, "-p%d", (int)spec->port);
    if (request->forward)
        add(&words, "-L%s:%s", request->forward, spec->socket);
    add(&words, "-oSessionType=%s", request->command ? "default" : "none");
    add(&words, "--");
    add(&words, "%s", spec->host);
    if (request->command)
        add(&words, "%s", request->command);
    return words.list;
}

void ssh_words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

bool ssh_path_plain(const char *path)
{
    return path[0] == '/' && strpbrk(path, ":%$~\\\"' \t\n") == NULL;
}

static void read_key(struct ssh_story *story, const char *text)
{
    size_t len = strcspn(text, " ");
    if (len > WORKER_KEY_LEN || text[len] == '\0')
        return;
    str_format(story->key, sizeof(story->key), "%.*s", (int)len, text);
    str_format(story->key_type, sizeof(story->key_type), "%s", text + len + 1);
}

void ssh_story_line(struct ssh_story *story, const char *line)
{
    if (str_starts_with(line, KEY_MARK)) {
        read_key(story, line + strlen(KEY_MARK));
        return;
    }
    if (line[0] == '\0' || line[0] == '@') /* a frame around a warning */
        story->key_changed |= strstr(line, "IDENTIFICATION HAS CHANGED") != NULL;
    else
        mask_secrets(line, story->last_line, sizeof(story->last_line));
    story->key_refused |= str_starts_with(line, "Host key verification failed");
    story->login_refused |= strstr(line, "Permission denied (") != NULL ||
                            strstr(line, "Too many authentication failures") != NULL;
}

bool ssh_story_silent(const struct ssh_story *story, unsigned family, int64_t exit_status)
{
    return family > 0 && exit_status == SSH_FAILED && !story->last_line[0] && !story->key[0];
}

static int explain_key(const struct ssh_story *story, const struct worker_spec *spec,
                       struct err *err)
{
    if (!story->key[0])
        return err_set(err, ERR_HOST_KEY, "the key of a host on the way is not known to ssh: %s",
                       story->last_line);
    if (spec->host_key[0])
        return err_set(err, ERR_HOST_KEY,
                       "the host's key is %s, and %s is the one that was accepted: it was "
                       "installed anew, or it is another host",
                       story->key, spec->host_key);
    if (story->key_changed)
        return err_set(err, ERR_HOST_KEY,
                       "the host's key is %s, and ssh's known_hosts has another: it was installed "
                       "anew, or it is another host",
                       story->key);
    return err_set(err, ERR_HOST_KEY, "the host's key %s (%s) has not been accepted", story->key,
                   story->key_type);
}

int ssh_story_explain(const struct ssh_story *story, const struct worker_spec *spec,
                      int64_t exit_status, int signal, struct err *err)
{
    char target[WORKER_TARGET_MAX];
    worker_spec_target(spec, target);
    if (story->key_refused)
        return explain_key(story, spec, err);
    if (story->login_refused)
        return err_set(err, ERR_FORBIDDEN,
                       "%.80s lets nobody in with that key (the manager logs in with keys alone, "
                       "never with a password): %.90s",
                       target, story->last_line);
    if (story->last_line[0])
        return err_set(err, ERR_BAD_GATEWAY, "ssh %.80s: %.150s", target, story->last_line);
    if (signal != 0)
        return err_set(err, ERR_BAD_GATEWAY, "ssh %.80s was killed by signal %d", target, signal);
    return err_set(err, ERR_BAD_GATEWAY, "ssh %.80s ended with %d", target, (int)exit_status);
}
