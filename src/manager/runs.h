/* One execution, from the request to its result: RUN on a fresh runner, EXEC on a named one. */
#ifndef MANAGER_RUNS_H
#define MANAGER_RUNS_H

#include "../common/language.h"
#include "op.h"
#include "output.h"

#include <jansson.h>

#define RUN_ID_LEN 16

/* The longest RUN or EXEC message. Less than its frame holds, so that the agent's form of the same
 * strings fits its frame as well.
 */
#define RUN_MESSAGE_MAX (FRAME_CONTROL_MAX - 16384)

/* Strings are not copied: `hold` keeps them alive. */
struct run_request {
    char id[RUN_ID_LEN + 1];
    const char *runner;        /* the named runner; NULL: a fresh one */
    bool keep;                 /* the fresh runner stays */
    const char *keep_name;     /* under this name; NULL: its own */
    const char *owner;         /* whose it is then */
    const char *template_name; /* of a fresh runner */
    const char *worker_name;   /* where it shall be; NULL: anywhere */
    const struct language *language;
    const char *code; /* NULL: nothing runs (with keep alone) */
    size_t code_len;
    const char *input; /* stdin; NULL: empty */
    size_t input_len;
    json_t *args, *env; /* an array and an object of strings without NUL, or NULL */
    const char *cwd;    /* absolute; NULL: the user's home */
    json_t *files;      /* an array of [path, mode, bytes], or NULL; bytes: a string of any */
    json_t *globs;      /* an array of strings: what to collect; or NULL */
    int64_t collect_bytes, collect_files;
    int64_t time_ms, memory_bytes, output_bytes, queue_ms;
    bool live_input;               /* more of stdin comes by run_feed; else input is all of it */
    bool nat;                      /* a fresh runner's network */
    int64_t cpu_ms;                /* 0: no limit */
    int64_t processes, disk_bytes; /* 0: the worker's own */
    int64_t compile_ms, compile_output_bytes;
    json_t *hold;
};

/* Whether the language has a compile stage for the code. */
bool run_compiles(const struct run_request *request);

/* What a stage of a run came to. */
struct run_end {
    char status[RUNNER_WORD_LEN + 1]; /* "" when nothing ran */
    int exit;                         /* -1 unless the program exited by itself */
    char signal[RUNNER_WORD_LEN + 1]; /* "" unless a signal ended it */
    double wall_ms, cpu_user_ms, cpu_sys_ms;
    int64_t memory_peak_bytes;
    bool out_truncated, err_truncated;
    struct output output;
};

/* What a pattern of `collect` matched. */
struct run_found {
    char *path;
    int64_t size_bytes;
    unsigned mode;
    char error[RUNNER_WORD_LEN + 1]; /* "" when data is its content */
    struct buf data;
};

struct run_result {
    char runner[NAME_MAX_LEN + 1];
    double queued_ms;
    const struct language *language;
    struct run_end compile; /* status "" when there was no such stage */
    struct run_end program;
    bool collects;  /* files were asked for */
    bool files_cut; /* there were more than were brought */
    struct run_found *files;
    size_t files_len;
};
void run_result_free(struct run_result *result); /* NULL is fine */

struct run;

/* Exactly once unless the run is cancelled, never inside run_start; the run is gone then. With a
 * failure, take_result is NULL; otherwise the caller owns it.
 */
typedef void (*run_done_cb)(struct run_result *take_result, const struct failure *failure,
                            void *data);

/* A fresh runner is taken where the fleet says (worker is NULL); a named one is worker's. Takes
 * request->hold (also when it fails). NULL with a failure when it cannot even be tried: no worker
 * can take it, the name is taken, or the message is too long.
 */
struct run *run_start(uv_loop_t *loop, struct fleet *fleet, struct worker *worker,
                      const struct run_request *request, run_done_cb done, void *data,
                      struct failure *failure);

/* The caller has gone: the worker kills what runs. done never fires. */
void run_cancel(struct run *run);

/* ---- a run whose output is taken as it comes ---- */

/* All fire from the loop, never after done, and must not cancel the run. */
struct run_sink {
    /* The program runs; at most once. A run without code does not start. */
    void (*started)(const char *runner, double queued_ms, void *data);

    /* len bytes of stdout or stderr, in the order in which they came. */
    void (*output)(bool is_err, const char *data, size_t len, void *data_of_sink);

    /* There is room for input and signals again; NULL: nobody feeds. */
    void (*drain)(void *data);
};

/* To be called right after run_start: output goes to the sink, the result holds none. */
void run_stream(struct run *run, const struct run_sink *sink, void *data);

/* Stops and resumes the sink's output: nothing is read from the worker meanwhile, and so the
 * program waits before long. When its time is over the sink gets the rest no more, whether or not
 * it is paused; the result then says that it was cut.
 */
void run_pause(struct run *run);
void run_resume(struct run *run);

/* Bytes for stdin, behind the request's own, and its end; between started and done. What the worker
 * does not take is kept (backlog.h). False: enough is, wait for drain.
 */
bool run_feed(struct run *run, const char *data, size_t len);
void run_feed_end(struct run *run);

/* Sends the program (or its compiler) and its children a signal, e.g. "SIGINT", ahead of all input;
 * between started and done. *room is whether there is room for more, else wait for drain. -1 with
 * an err for a name that is none.
 */
int run_signal(struct run *run, const char *name, bool *room, struct err *err);

#endif
