#include "abuse_stream.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define OUTPUT_MAX 65536 /* kept of it: its beginning; the end's last line must be within */

/* It is over before, by its own time and the queue's. */
#define STREAM_TIMEOUT_MS 180000

struct stream {
    int program, input; /* memory files */
    int errors;         /* one too: its stderr */
    int output;         /* the read end of its stdout's pipe */
    pid_t pid;
};

static void stream_finish(struct stream *stream)
{
    fd_close(&stream->program);
    fd_close(&stream->input);
    fd_close(&stream->errors);
    fd_close(&stream->output);
}

static int prepare(struct stream *stream, const struct abuse_case *abuse, const char *program,
                   struct err *err)
{
    stream->program = memfd_create("program", 0); /* the child opens it by its number */
    stream->input = memfd_create("input", MFD_CLOEXEC);
    stream->errors = memfd_create("errors", MFD_CLOEXEC);
    if (stream->program < 0 || stream->input < 0 || stream->errors < 0 ||
        fd_write_all(stream->program, program, strlen(program)) != 0 ||
        ftruncate(stream->input, abuse->stream_bytes) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "memfd_create");
    return 0;
}

static int start(struct stream *stream, const struct abuse_case *abuse,
                 const struct abuse_target *target, struct err *err)
{
    char path[32], seconds[32], worker[64], token[200];
    int pair[2];
    const char *argv[20] = {"codeland",   "run",
                            "--address",  target->address,
                            "--language", strcmp(abuse->language, "py") == 0 ? "python3" : "sh"};
    size_t argc = 6;
    char *const envp[] = {token, NULL};
    str_format(token, sizeof(token), "CODELAND_TOKEN=%s", target->token);
    str_format(path, sizeof(path), "/dev/fd/%d", stream->program);
    str_format(seconds, sizeof(seconds), "--time=%.3f", (double)abuse->time_ms / 1000);
    str_format(worker, sizeof(worker), "--worker=%s", target->worker ? target->worker : "");
    if (abuse->time_ms > 0)
        argv[argc++] = seconds;
    if (target->worker)
        argv[argc++] = worker;
    argv[argc++] = path;
    argv[argc++] = "1";
    argv[argc++] = target->address;
    if (pipe2(pair, O_CLOEXEC) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stream->input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pair[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, stream->errors, STDERR_FILENO);
    int failed = posix_spawn(&stream->pid, "/proc/self/exe", &actions, NULL,
                             (char *const *)(const void *)argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    stream->output = pair[0];
    return failed ? err_sys(err, ERR_INTERNAL, failed, "cannot start codeland run") : 0;
}

/* Until its end, or for as long as it may take; *len is at most OUTPUT_MAX. */
static void read_output(const struct stream *stream, char *output, size_t *len)
{
    static __thread char rest[65536];
    mono_us until = clock_now(&clock_system) + (mono_us)STREAM_TIMEOUT_MS * US_PER_MS;
    *len = 0;
    for (;;) {
        mono_us left = until - clock_now(&clock_system);
        struct pollfd fd = {.fd = stream->output, .events = POLLIN};
        if (left <= 0 || poll(&fd, 1, (int)(left / US_PER_MS) + 1) == 0) {
            kill(stream->pid, SIGKILL);
            return;
        }
        ssize_t got = read(stream->output, rest, sizeof(rest));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        size_t kept = (size_t)got < OUTPUT_MAX - *len ? (size_t)got : OUTPUT_MAX - *len;
        memcpy(output + *len, rest, kept);
        *len += kept;
    }
}

/* What the client complained about explains more than what the program said. */
static void add_errors(const struct stream *stream, char why[ABUSE_WHY_MAX])
{
    char text[160];
    ssize_t got = pread(stream->errors, text, sizeof(text), 0);
    size_t len = strlen(why);
    if (got > 0)
        str_format(why + len, ABUSE_WHY_MAX - len, "; %.*s", (int)got, text);
}

enum abuse_verdict abuse_stream(const struct abuse_case *abuse, const struct abuse_target *target,
                                const char *program, char status[ABUSE_STATUS_MAX],
                                char why[ABUSE_WHY_MAX])
{
    struct stream stream = {.program = -1, .input = -1, .errors = -1, .output = -1, .pid = -1};
    cleanup_free char *output = mem_calloc(1, OUTPUT_MAX);
    enum abuse_verdict verdict = ABUSE_FAILED;
    struct err err;
    size_t len;
    int ended = 0;
    str_format(status, ABUSE_STATUS_MAX, "lost");
    if (prepare(&stream, abuse, program, &err) == 0 && start(&stream, abuse, target, &err) == 0) {
        read_output(&stream, output, &len);
        while (waitpid(stream.pid, &ended, 0) < 0 && errno == EINTR)
            ;
        int code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
        verdict = abuse_judge_exit(abuse, code, output, len, status, why);
        if (verdict != ABUSE_HELD)
            add_errors(&stream, why);
    } else {
        str_format(why, ABUSE_WHY_MAX, "%s", err.msg);
    }
    stream_finish(&stream);
    return verdict;
}
