/* What a run costs without us: starts a command over and over, reads what it prints through pipes
 * and waits for it. N processes of their own do so side by side, each one command at a time.
 *
 * With --root the command is executed below that folder (chroot, which costs nothing and isolates
 * nothing), so that its binaries are those of the template and not the host's.
 */
#include "samples.h"

#include "../src/common/fd.h"
#include "../src/common/mem.h"
#include "../src/common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define PARALLEL_MAX 64

struct options {
    const char *root, *expect;
    char **argv;
    long parallel;
    double seconds;
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "baseline: %s: %s\n", what, strerror(errno));
    exit(1);
}

static mono_us now_us(void)
{
    return clock_now(&clock_system);
}

/* ---- one command ---- */

_Noreturn static void execute(const struct options *options, int in, int out, int err)
{
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    if (options->root && (chroot(options->root) != 0 || chdir("/") != 0))
        _exit(126);
    execvp(options->argv[0], options->argv);
    _exit(127);
}

/* Reads both until both have ended; what the first one said is kept. */
static size_t read_all(int out, int err, char *text, size_t room)
{
    struct pollfd ends[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    size_t used = 0;
    for (int open = 2; open > 0;) {
        if (poll(ends, 2, -1) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < 2; i++) {
            char bytes[4096];
            if (!ends[i].revents)
                continue;
            ssize_t len = read(ends[i].fd, bytes, sizeof(bytes));
            if (len <= 0) {
                ends[i].fd = -1;
                open--;
            } else if (i == 0 && (size_t)len <= room - used) {
                memcpy(text + used, bytes, (size_t)len);
                used += (size_t)len;
            }
        }
    }
    return used;
}

static void run_once(const struct options *options)
{
    int in[2], out[2], err[2], status;
    char text[65536];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        execute(options, in[0], out[1], err[1]);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    close(err[1]);
    size_t len = read_all(out[0], err[0], text, sizeof(text));
    close(out[0]);
    close(err[0]);
    if (waitpid(pid, &status, 0) != pid)
        die("wait");
    if (status != 0 ||
        (options->expect && !memmem(text, len, options->expect, strlen(options->expect)))) {
        fprintf(stderr, "baseline: %s failed (status %d), it printed \"%.*s\"\n", options->argv[0],
                status, (int)(len < 200 ? len : 200), text);
        exit(1);
    }
}

/* ---- side by side ---- */

/* Runs commands until the time is over and writes how long each took. */
_Noreturn static void work(const struct options *options, int results)
{
    struct samples samples = {0};
    for (mono_us end = now_us() + (mono_us)(options->seconds * US_PER_SEC), at;
         (at = now_us()) < end;) {
        run_once(options);
        samples_add(&samples, (double)(now_us() - at) / US_PER_MS);
    }
    if (fd_write_all(results, samples.ms, samples.len * sizeof(*samples.ms)) != 0)
        die("write");
    samples_finish(&samples);
    exit(0);
}

static void collect(FILE *results, struct samples *samples)
{
    for (double ms; fread(&ms, sizeof(ms), 1, results) == 1;)
        samples_add(samples, ms);
    fclose(results);
}

static void measure(const struct options *options, struct samples *samples)
{
    FILE *results[PARALLEL_MAX];
    bool failed = false;
    for (long i = 0; i < options->parallel; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            die("pipe");
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            work(options, ends[1]);
        close(ends[1]);
        results[i] = fdopen(ends[0], "r");
    }
    for (long i = 0; i < options->parallel; i++)
        collect(results[i], samples);
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    if (failed)
        exit(1);
}

/* ---- options and report ---- */

_Noreturn static void usage(void)
{
    fputs("usage: baseline [--parallel N] [--seconds S] [--root FOLDER] [--expect TEXT] --"
          " COMMAND...\n",
          stderr);
    exit(2);
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"parallel", 1, 0, 'p'},
        {"seconds", 1, 0, 's'},
        {"root", 1, 0, 'r'},
        {"expect", 1, 0, 'e'},
        {0},
    };
    *options = (struct options){.parallel = 1, .seconds = 1};
    for (int option; (option = getopt_long(argc, argv, "+", names, NULL)) != -1;) {
        int64_t parallel;
        if (option == 'p' && str_to_int(optarg, 1, PARALLEL_MAX, &parallel))
            options->parallel = (long)parallel;
        else if (option == 's' && strtod(optarg, NULL) > 0)
            options->seconds = strtod(optarg, NULL);
        else if (option == 'r')
            options->root = optarg;
        else if (option == 'e')
            options->expect = optarg;
        else
            usage();
    }
    options->argv = argv + optind;
    if (optind == argc)
        usage();
}

int main(int argc, char **argv)
{
    struct options options;
    struct samples samples = {0};
    parse(&options, argc, argv);
    mono_us begin = now_us();
    measure(&options, &samples);
    double seconds = (double)(now_us() - begin) / US_PER_SEC;
    json_t *report =
        json_pack("{s:i, s:f, s:f, s:o}", "parallel", (int)options.parallel, "seconds", seconds,
                  "perSecond", (double)samples.len / seconds, "latencyMs", samples_json(&samples));
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts(text);
    free(text);
    json_decref(report);
    samples_finish(&samples);
    return 0;
}
