/* How one worker is reached: what `worker add`, POST /workers, the store and the [worker-host NAME]
 * sections of the settings say of it. A plain value; every text in it has been checked, so that it
 * may become a word of an argv, never a part of a shell line.
 */
#ifndef COMMON_WORKER_SPEC_H
#define COMMON_WORKER_SPEC_H

#include "err.h"
#include "ids.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKER_USER_MAX 32
#define WORKER_HOST_MAX 253
#define WORKER_PATH_MAX 200
#define WORKER_SOCKET_MAX 107 /* of a sockaddr_un */
#define WORKER_JUMP_MAX 400
#define WORKER_KEY_LEN 50 /* "SHA256:" and 43 letters of base64 */
#define WORKER_SPECS_MAX 1000
#define WORKER_SOCKET_DEFAULT "/run/codeland/worker.sock"

struct worker_spec {
    char name[NAME_MAX_LEN + 1];
    char host[WORKER_HOST_MAX + 1];     /* of SSH; "": this machine, and only socket counts */
    char user[WORKER_USER_MAX + 1];     /* "": as ssh's own settings say */
    int64_t port;                       /* 0: as ssh's own settings say */
    char identity[WORKER_PATH_MAX + 1]; /* file of a private key; "": ssh's own choice */
    char jump[WORKER_JUMP_MAX + 1];     /* as ssh -J; "": none */
    char host_key[WORKER_KEY_LEN + 1];  /* "SHA256:...": this one alone; "": ssh's known_hosts */
    char socket[WORKER_SOCKET_MAX + 1]; /* of the worker, on its host */
};

/* Nothing but a name and the default socket. False when it is no name (ids.h). */
bool worker_spec_init(struct worker_spec *spec, const char *name);

/* Sets one field; key is as in the settings: ssh, identity, jump, host_key, socket. Fails naming
 * the key and the bound, ERR_BAD_REQUEST; then spec is as it was.
 */
int worker_spec_set(struct worker_spec *spec, const char *key, const char *value, struct err *err);

/* Whether the fields go together. */
int worker_spec_check(const struct worker_spec *spec, struct err *err);

/* From {"name", "ssh", "identity", "jump", "hostKey", "socket"}; all but the name may be missing.
 * Keys that the NULL-terminated list `also` names are left to the caller, others are refused.
 */
int worker_spec_parse(const json_t *object, const char *const also[], struct worker_spec *spec,
                      struct err *err);

/* The same object, without what is empty; the caller owns it. */
json_t *worker_spec_json(const struct worker_spec *spec);

/* "user@host:port", as short as it may be; "local" for this machine. */
#define WORKER_TARGET_MAX (WORKER_USER_MAX + WORKER_HOST_MAX + 16)
void worker_spec_target(const struct worker_spec *spec, char target[WORKER_TARGET_MAX]);

/* Those of a settings file, in its order. items is the owner's; finish frees it. */
struct worker_specs {
    struct worker_spec *items;
    size_t count;
};

void worker_specs_finish(struct worker_specs *specs);

/* The one of that name, added when it is new; NULL with err when the name is none, or there are
 * WORKER_SPECS_MAX already.
 */
struct worker_spec *worker_specs_put(struct worker_specs *specs, const char *name, struct err *err);

#endif
