/* The agent's messages: what each AGENT_* frame of proto.def carries, as C values, with the one
 * encoder and decoder that both sides use. All numbers little endian; strings as in wire.h.
 *
 * How an operation goes. The worker makes a socketpair, sends one end with AGENT_OPEN over the
 * control connection, and then owns the operation through its own end:
 *
 *   worker → agent   AGENT_FOLDER?  (AGENT_FILE, FILE_DATA...)*  AGENT_EXEC  (STDIN...)* STDIN_EOF
 *                    AGENT_SIGNAL at any time after AGENT_EXEC, behind the input before it
 *   agent → worker   AGENT_STARTED  (STDOUT | STDERR)*  AGENT_EXIT
 *                    or AGENT_FAILED instead of AGENT_STARTED
 *
 * A signal that must not wait behind input goes over the control connection, as AGENT_OP_SIGNAL
 * with the number that AGENT_OPEN gave; it does nothing before AGENT_STARTED and after the
 * program's end.
 *
 * Closing the worker's end before AGENT_EXIT abandons the operation: the agent kills the program's
 * process group and forgets it.
 */
#ifndef COMMON_AGENT_WIRE_H
#define COMMON_AGENT_WIRE_H

#include "frame.h"
#include "wire.h"

/* Bounds that both sides know. */
#define AGENT_ARGV_MAX 512
#define AGENT_ENV_MAX 512
#define AGENT_SIGNAL_MAX 64

/* Where the agent listens for its worker: the folder is bound into the runner read-only. */
#define AGENT_SOCKET_DIR "/run/codeland"
#define AGENT_SOCKET_NAME "agent.sock"

/* Where the agent itself is bound, and what is executed as PID 1. */
#define AGENT_PATH "/usr/libexec/crunner"

/* The AppArmor profiles that the agent starts with and takes on, where the host has them
 * (worker/codeland.apparmor).
 */
#define AGENT_PROFILE "codeland-agent"
#define AGENT_RUNNER_PROFILE "codeland-runner"

enum agent_stage {
    AGENT_STAGE_PROTOCOL = 1, /* a message made no sense: a bug, or a version that differs */
    AGENT_STAGE_LIMIT,        /* too many operations at once */
    AGENT_STAGE_FILE,         /* writing a file of the operation */
    AGENT_STAGE_PIPE,
    AGENT_STAGE_FORK,
    AGENT_STAGE_CGROUP, /* joining the operation's cgroup */
    AGENT_STAGE_CWD,
    AGENT_STAGE_USER, /* giving up root */
    AGENT_STAGE_EXEC,
    AGENT_STAGE_COUNT,
};

/* A few words for a person, e.g. "execute the program"; for any value. */
const char *agent_stage_text(uint32_t stage);

/* A worker that is upgraded finds the agents of named runners as they were: another number here is
 * the end of those runners, unless the worker still speaks the old one. 2: there is
 * AGENT_OP_SIGNAL. 3: AGENT_OPEN has output_bytes.
 */
#define AGENT_PROTOCOL 3
#define AGENT_PROTOCOL_OLDEST 1

struct agent_hello {
    uint32_t version;    /* AGENT_PROTOCOL of the agent */
    uint32_t operations; /* how many it has been given so far: 0 for one fresh from the oven */
};

#define AGENT_OUTPUT_ALL UINT64_MAX

struct agent_open {
    uint32_t id; /* unique within the runner */

    /* So much is sent of each of the program's streams, and one byte more to say that there was
     * more; the rest is read and dropped. Left out of the message when it is AGENT_OUTPUT_ALL,
     * which is all that an agent before 3 understands.
     */
    uint64_t output_bytes;
};

/* AGENT_EXEC, and AGENT_FILE before it, run as this user in this folder. */
enum agent_exec_flags {
    AGENT_EXEC_ROOT = 1,   /* as root of the runner; else as user `runner` without privileges */
    AGENT_EXEC_CGROUP = 2, /* a descriptor to write "0" to before exec came with AGENT_OPEN */
};

struct agent_file {
    uint32_t flags;        /* of the exec that follows: AGENT_EXEC_ROOT */
    uint32_t mode;         /* permission bits, 0..0777 */
    uint32_t unlink_after; /* 1: removed when the operation is over */
    const char *folder;    /* absolute; "" = the user's home */
    const char *name;      /* relative to folder, may hold '/', never '..' */
};

/* When an operation's folder is removed with what is in it: at its end, or only unless its program
 * exits with 0, for then another operation goes on with it.
 */
enum agent_folder_end { AGENT_FOLDER_REMOVE, AGENT_FOLDER_REMOVE_FAILED, AGENT_FOLDER_ENDS };

struct agent_folder {
    uint32_t flags;     /* of the exec that follows: AGENT_EXEC_ROOT */
    uint32_t end;       /* enum agent_folder_end */
    const char *folder; /* as in agent_file */
    const char *name;   /* one component */
};

struct agent_exec {
    uint32_t flags;
    const char *cwd; /* absolute; "" = the user's home */
    uint32_t argc, envc;
    const char *argv[AGENT_ARGV_MAX + 1]; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *env[AGENT_ENV_MAX + 1];   /* "NAME=value", NULL-terminated; the whole environment */
};

struct agent_signal {
    uint32_t signal; /* 1..AGENT_SIGNAL_MAX */
    uint32_t group;  /* 1: to the process group, 0: to the program alone */
};

struct agent_op_signal {
    uint32_t id;            /* of its AGENT_OPEN */
    uint32_t signal, group; /* as in agent_signal */
};

struct agent_started {
    uint32_t pid; /* in the runner's pid namespace */
};

struct agent_exit {
    uint32_t exit;               /* exit code, 0..255; 0 when signal is set */
    uint32_t signal;             /* 0 when it exited by itself, else 1..AGENT_SIGNAL_MAX */
    uint64_t user_us, system_us; /* of the program and the children it waited for */
    uint64_t max_rss_bytes;
    uint64_t wall_us; /* fork to exit */
};

struct agent_failed {
    uint32_t stage; /* enum agent_stage */
    uint32_t sys_errno;
};

/* What a pattern of `crunner collect` matched. Only AGENT_FOUND_FILE is followed by bytes, which
 * may be fewer than its size: the file may shrink meanwhile.
 */
enum agent_found_kind {
    AGENT_FOUND_FILE,
    AGENT_FOUND_TOO_LARGE, /* for what is left of the bytes that may be collected */
    AGENT_FOUND_FOLDER,
    AGENT_FOUND_LINK,
    AGENT_FOUND_SPECIAL, /* a device, a socket, a fifo */
    AGENT_FOUND_UNREADABLE,
    AGENT_FOUND_KINDS,
};

struct agent_found {
    uint32_t kind; /* enum agent_found_kind */
    uint32_t mode; /* permission bits, 0..0777 */
    uint64_t size_bytes;
    const char *path; /* relative to the working directory */
};

struct agent_collected {
    uint32_t cut; /* 1: there was more than may be collected, or looked at */
};

/* One pair a message. Encoders return the payload's length, or 0 when it does not fit in room or
 * passes a bound. Decoders return false for anything but exactly one well-formed message whose
 * numbers are within these bounds; its strings point into the payload. What a path may be is for
 * the reader to check.
 */
size_t agent_hello_encode(const struct agent_hello *msg, void *payload, size_t room);
bool agent_hello_decode(const void *payload, size_t len, struct agent_hello *msg);
size_t agent_open_encode(const struct agent_open *msg, void *payload, size_t room);
bool agent_open_decode(const void *payload, size_t len, struct agent_open *msg);
size_t agent_file_encode(const struct agent_file *msg, void *payload, size_t room);
bool agent_file_decode(const void *payload, size_t len, struct agent_file *msg);
size_t agent_folder_encode(const struct agent_folder *msg, void *payload, size_t room);
bool agent_folder_decode(const void *payload, size_t len, struct agent_folder *msg);
size_t agent_exec_encode(const struct agent_exec *msg, void *payload, size_t room);
bool agent_exec_decode(const void *payload, size_t len, struct agent_exec *msg);
size_t agent_signal_encode(const struct agent_signal *msg, void *payload, size_t room);
bool agent_signal_decode(const void *payload, size_t len, struct agent_signal *msg);
size_t agent_op_signal_encode(const struct agent_op_signal *msg, void *payload, size_t room);
bool agent_op_signal_decode(const void *payload, size_t len, struct agent_op_signal *msg);
size_t agent_started_encode(const struct agent_started *msg, void *payload, size_t room);
bool agent_started_decode(const void *payload, size_t len, struct agent_started *msg);
size_t agent_exit_encode(const struct agent_exit *msg, void *payload, size_t room);
bool agent_exit_decode(const void *payload, size_t len, struct agent_exit *msg);
size_t agent_failed_encode(const struct agent_failed *msg, void *payload, size_t room);
bool agent_failed_decode(const void *payload, size_t len, struct agent_failed *msg);
size_t agent_found_encode(const struct agent_found *msg, void *payload, size_t room);
bool agent_found_decode(const void *payload, size_t len, struct agent_found *msg);
size_t agent_collected_encode(const struct agent_collected *msg, void *payload, size_t room);
bool agent_collected_decode(const void *payload, size_t len, struct agent_collected *msg);

#endif
