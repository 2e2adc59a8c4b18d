/* `codeland selftest`: the abuse catalogue against a live worker, over the API.
 *
 * How it works. Threads take one case after the other and say a line for each when it is over. A
 * case ends by its own limits, so nothing has to be stopped.
 */
#include "verbs.h"

#include "abuse_run.h"
#include "hello.h"

#include "../common/fd.h"
#include "../common/json.h"
#include "../common/locate.h"
#include "../common/mem.h"
#include "../common/options.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define JOBS 4

struct selftest {
    struct options options;
    bool json, list;
    char folder[PATH_MAX], token[HELLO_TOKEN_MAX], prelude[ABUSE_PROGRAM_MAX];
    struct abuse_case *cases;
    struct abuse_outcome *outcomes;
    size_t count, next, failed;
    struct abuse_target target;
    pthread_mutex_t lock; /* of next, failed and stdout */
};

static void say(struct selftest *selftest, const struct abuse_case *abuse,
                const struct abuse_outcome *outcome)
{
    selftest->failed += !outcome->held;
    if (selftest->json)
        return;
    printf("%-6s %-10s %-24s %6.1f s  %s", outcome->held ? "held" : "FAILED", abuse->group,
           abuse->name, outcome->took_ms / 1000, abuse->tries);
    if (outcome->held)
        printf(": %s [%s]\n", abuse->holds, outcome->status);
    else
        printf(" [%s]\n         %s\n", outcome->status, outcome->why);
    fflush(stdout);
}

static void *work(void *data)
{
    struct selftest *selftest = data;
    for (;;) {
        pthread_mutex_lock(&selftest->lock);
        size_t i = selftest->next++;
        pthread_mutex_unlock(&selftest->lock);
        if (i >= selftest->count)
            return NULL;
        abuse_run(&selftest->cases[i], &selftest->target, &selftest->outcomes[i]);
        pthread_mutex_lock(&selftest->lock);
        say(selftest, &selftest->cases[i], &selftest->outcomes[i]);
        pthread_mutex_unlock(&selftest->lock);
    }
}

static void print_json(const struct selftest *selftest)
{
    json_t *list = json_array();
    for (size_t i = 0; i < selftest->count; i++) {
        const struct abuse_case *abuse = &selftest->cases[i];
        const struct abuse_outcome *outcome = &selftest->outcomes[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:f}", "name",
                                              abuse->name, "group", abuse->group, "tries",
                                              abuse->tries, "holds", abuse->holds, "held",
                                              outcome->held, "status", outcome->status, "why",
                                              outcome->why, "took", outcome->took_ms));
    }
    cleanup_json json_t *all = json_pack("{s:o, s:I, s:I}", "cases", list, "held",
                                         (json_int_t)(selftest->count - selftest->failed), "failed",
                                         (json_int_t)selftest->failed);
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
}

/* The table of docs/abuse.md. */
static void print_list(const struct selftest *selftest)
{
    const char *group = "";
    for (size_t i = 0; i < selftest->count; i++) {
        const struct abuse_case *abuse = &selftest->cases[i];
        if (strcmp(group, abuse->group) != 0)
            printf("\n### %s\n\n| case | what is tried | what holds |\n|---|---|---|\n",
                   abuse->group);
        group = abuse->group;
        printf("| [%s](../abuse/%s.%s) | %s | %s |\n", abuse->name, abuse->name, abuse->language,
               abuse->tries, abuse->holds);
    }
}

static int run_all(struct selftest *selftest)
{
    pthread_t threads[JOBS];
    size_t running = 0;
    selftest->outcomes = mem_calloc(selftest->count, sizeof(*selftest->outcomes));
    pthread_mutex_init(&selftest->lock, NULL);
    while (running < JOBS && pthread_create(&threads[running], NULL, work, selftest) == 0)
        running++;
    if (running == 0)
        work(selftest);
    while (running > 0)
        pthread_join(threads[--running], NULL);
    pthread_mutex_destroy(&selftest->lock);
    if (selftest->json)
        print_json(selftest);
    else
        printf("%zu of %zu cases held\n", selftest->count - selftest->failed, selftest->count);
    free(selftest->outcomes);
    return selftest->failed == 0 ? EXIT_OK : EXIT_FAILED;
}

/* The cases are those that came with the program. */
static int load(struct selftest *selftest, struct err *err)
{
    char self[PATH_MAX], prelude[PATH_MAX];
    if (locate_self(self, err) != 0 ||
        locate_file(prelude, self, "abuse", "share/codeland/abuse", "probe.py", err) != 0)
        return -1;
    if (fd_read_file(AT_FDCWD, prelude, selftest->prelude, sizeof(selftest->prelude)) < 0)
        return err_sys(err, ERR_INTERNAL, errno, "%s", prelude);
    str_format(selftest->folder, sizeof(selftest->folder), "%.*s",
               (int)(strrchr(prelude, '/') - prelude), prelude);
    selftest->cases = abuse_cases_read(selftest->folder, &selftest->count, err);
    return selftest->cases ? 0 : -1;
}

/* Only those whose name or group is among the words; with no word all stay. */
static int choose(struct selftest *selftest, struct err *err)
{
    const struct options *options = &selftest->options;
    for (size_t k = 0; k < options->rest_len; k++) {
        bool known = false;
        for (size_t i = 0; i < selftest->count; i++)
            known = known || strcmp(selftest->cases[i].name, options->rest[k]) == 0 ||
                    strcmp(selftest->cases[i].group, options->rest[k]) == 0;
        if (!known)
            return err_set(err, ERR_BAD_REQUEST, "\"%.60s\" is neither a case nor a group",
                           options->rest[k]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < selftest->count; i++) {
        bool wanted = options->rest_len == 0;
        for (size_t k = 0; k < options->rest_len; k++)
            wanted = wanted || strcmp(selftest->cases[i].name, options->rest[k]) == 0 ||
                     strcmp(selftest->cases[i].group, options->rest[k]) == 0;
        if (wanted)
            selftest->cases[kept++] = selftest->cases[i];
        else
            abuse_case_finish(&selftest->cases[i]);
    }
    selftest->count = kept;
    return 0;
}

static bool take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], flag) != 0)
            continue;
        memmove(argv + i, argv + i + 1, sizeof(*argv) * (size_t)(*argc - i));
        (*argc)--;
        return true;
    }
    return false;
}

int cli_selftest(int argc, char **argv)
{
    static struct selftest selftest; /* too large for a stack */
    struct err err = {0};
    selftest.json = take_flag(&argc, argv, "--json");
    selftest.list = take_flag(&argc, argv, "--list");
    int code = EXIT_USAGE;
    if (options_parse(&selftest.options, argc, argv, &err) != 0)
        goto out;
    code = EXIT_FAILED;
    if (load(&selftest, &err) != 0)
        goto out;
    if (choose(&selftest, &err) != 0) {
        code = EXIT_USAGE;
    } else if (selftest.list) {
        print_list(&selftest);
        code = EXIT_OK;
    } else if (hello_token(&selftest.options.config, selftest.token, &err) == 0) {
        selftest.target = (struct abuse_target){
            .address = selftest.options.config.http_listen,
            .token = selftest.token,
            .prelude = selftest.prelude,
        };
        code = run_all(&selftest);
    }
    abuse_cases_free(selftest.cases, selftest.count);
out:
    if (err.msg[0])
        fprintf(stderr, "codeland selftest: %s\n", err.msg);
    return code;
}
