/* The operations that a manager asks for, parsed and checked: docs/protocol.md. */
#ifndef WORKER_OP_PARSE_H
#define WORKER_OP_PARSE_H

#include "../common/agent_wire.h"
#include "../common/err.h"
#include "../common/ids.h"

#include <jansson.h>
#include <stdbool.h>

#define OP_FILES_MAX 257 /* those of a request, and its program */
#define OP_GLOBS_MAX 64
#define OP_COLLECT_BYTES_MAX (64 * 1024 * 1024LL)
#define OP_COLLECT_FILES_MAX 1000
#define OP_FILE_BYTES_MAX (256 * 1024 * 1024LL)
#define OP_ID_MAX 32
#define OP_KEY_LEN 16
#define OP_PATH_MAX 2048 /* of the working directory, and of a file's name */
#define OP_PROCESSES_LEAST 2
#define OP_DISK_LEAST 1048576LL
#define OP_MEMORY_LEAST 4194304LL /* that of run.memory: an agent has to live in it too */

struct op_file {
    const char *name;
    uint32_t mode;
    int64_t bytes;
    bool unlink_after;
};

/* RUN and EXEC. Strings point into json, which the request owns; op_run_finish drops it. What the
 * agent is sent of it (AGENT_FILE, AGENT_EXEC) fits into its frames.
 */
struct op_run {
    json_t *json;
    const char *id;
    uint64_t key;              /* names the manager's try; 0: it may be done twice */
    const char *runner;        /* EXEC: on which; NULL for RUN */
    const char *template_name; /* RUN: "" for the oven's own */
    bool keep;
    const char *keep_name; /* NULL: the runner's own */
    const char *keep_owner;
    struct agent_exec exec; /* argc 0: nothing is run; its env is set by op_run_set_env */
    struct op_file files[OP_FILES_MAX];
    size_t files_len;
    const char *scratch; /* a folder of the run's own in cwd; NULL: none */
    struct {
        const char *argv[AGENT_ARGV_MAX + 1];
        uint32_t argc; /* 0: there is no compile stage */
        int64_t time_ms, output_bytes;
    } compile;
    struct {
        const char *globs[OP_GLOBS_MAX + 1];
        uint32_t globs_len; /* 0: nothing is collected */
        int64_t bytes, files;
    } collect;
    int64_t time_ms, output_bytes, queue_ms;
    int64_t cpu_ms;                              /* 0: no limit */
    int64_t memory_bytes, processes, disk_bytes; /* 0: the default */
    json_t *env, *env_defaults;                  /* parts of json, or NULL */
    bool nat;                                    /* RUN: its runner gets a network */
};

struct engine_limits;

/* Parse a payload of RUN (or EXEC when exec_on_named). On failure nothing is held. */
int op_run_parse(const char *text, size_t len, bool exec_on_named, struct op_run *run,
                 struct err *err);

/* Sets exec.env: the standard one, then env_defaults with what stands in braces replaced by what
 * the runner has ({memory} bytes, {heap} three quarters of it in MiB, {cpus}), then env. Fails when
 * it is too long for the agent's frame.
 */
int op_run_set_env(struct op_run *run, const struct engine_limits *limits, struct err *err);

void op_run_finish(struct op_run *run);

/* The name of a DESTROY; copied to name. */
int op_destroy_parse(const char *text, size_t len, char name[NAME_MAX_LEN + 1], struct err *err);

/* The signal's number. */
int op_signal_parse(const char *text, size_t len, int *signal, struct err *err);

int op_zombies_parse(const char *text, size_t len, bool *remove, struct err *err);

/* It says nothing. */
int op_footprint_parse(const char *text, size_t len, struct err *err);

/* The key of a WITHDRAW or a STEER. */
int op_key_parse(const char *text, size_t len, uint64_t *key, struct err *err);

/* A manager's LINK_HELLO, and who it is. Fails when its protocol is not ours. */
int op_hello_parse(const char *text, size_t len, char manager[MANAGER_ID_LEN + 1], struct err *err);

#endif
