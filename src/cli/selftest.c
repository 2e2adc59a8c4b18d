/* `codeland selftest`: the abuse catalogue against live workers, over the API.
 *
 * How it works. Threads take one case after the other and say a line for each when it is over. A
 * case ends by its own limits, so nothing has to be stopped. Before and after, each worker tells
 * what it has on its host (selftest_host.c).
 */
#include "verbs.h"

#include "abuse_run.h"
#include "selftest_host.h"

#include "../common/fd.h"
#include "../common/ids.h"
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
    const char *worker;
    char folder[PATH_MAX], prelude[ABUSE_PROGRAM_MAX], addresses[1024];
    struct abuse_case *cases;
    struct abuse_outcome *outcomes;
    size_t count, next;
    size_t cases_of[ABUSE_VERDICTS], hosts_of[ABUSE_VERDICTS]; /* how many came to what */
    struct abuse_target target;
    struct selftest_hosts hosts;
    json_t *findings;     /* about the hosts, for --json */
    pthread_mutex_t lock; /* of next, cases_of and stdout */
};

static const char *const words_of[ABUSE_VERDICTS] = {"held", "FAILED", "n/a"};
static const char *const verdicts[ABUSE_VERDICTS] = {"held", "failed", "notApplicable"};

static void say(struct selftest *selftest, const struct abuse_case *abuse,
                const struct abuse_outcome *outcome)
{
    selftest->cases_of[outcome->verdict]++;
    if (selftest->json)
        return;
    printf("%-6s %-10s %-24s %6.1f s  %s", words_of[outcome->verdict], abuse->group, abuse->name,
           outcome->took_ms / 1000, abuse->tries);
    if (outcome->verdict == ABUSE_HELD)
        printf(": %s [%s]\n", abuse->holds, outcome->status);
    else
        printf(" [%s]\n         %s\n", outcome->status, outcome->why);
    fflush(stdout);
}

static void say_host(const char *worker, const struct abuse_host_finding *finding, void *data)
{
    struct selftest *selftest = data;
    selftest->hosts_of[finding->verdict]++;
    json_array_append_new(selftest->findings,
                          json_pack("{s:s, s:s, s:s, s:s}", "worker", worker, "what", finding->what,
                                    "verdict", verdicts[finding->verdict], "why", finding->why));
    if (selftest->json)
        return;
    printf("%-6s %-10s %-24s            %s%s\n", words_of[finding->verdict], "host", finding->what,
           worker, finding->verdict == ABUSE_HELD ? ": as before" : "");
    if (finding->verdict != ABUSE_HELD)
        printf("         %s\n", finding->why);
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
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:f}", "name",
                                              abuse->name, "group", abuse->group, "tries",
                                              abuse->tries, "holds", abuse->holds, "verdict",
                                              verdicts[outcome->verdict], "status", outcome->status,
                                              "why", outcome->why, "took", outcome->took_ms));
    }
    cleanup_json json_t *all = json_pack("{s:o, s:O}", "cases", list, "host", selftest->findings);
    for (size_t i = 0; i < ABUSE_VERDICTS; i++)
        json_object_set_new(
            all, verdicts[i],
            json_integer((json_int_t)(selftest->cases_of[i] + selftest->hosts_of[i])));
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

static size_t sum(const size_t counts[ABUSE_VERDICTS])
{
    size_t all = 0;
    for (size_t i = 0; i < ABUSE_VERDICTS; i++)
        all += counts[i];
    return all;
}

static void print_sums(const struct selftest *selftest)
{
    const size_t *cases = selftest->cases_of, *hosts = selftest->hosts_of;
    printf("%zu of %zu cases held, %zu are not applicable here; of %zu things of the hosts %zu are "
           "as before, %zu cannot be compared\n",
           cases[ABUSE_HELD], sum(cases), cases[ABUSE_NOT_APPLICABLE], sum(hosts),
           hosts[ABUSE_HELD], hosts[ABUSE_NOT_APPLICABLE]);
}

static void run_cases(struct selftest *selftest)
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
}

static int run_all(struct selftest *selftest, struct err *err)
{
    struct selftest_hosts *hosts = &selftest->hosts;
    const struct config *config = &selftest->options.config;
    if (selftest_hosts_begin(hosts, config, selftest->worker, err) != 0) {
        selftest_hosts_finish(hosts);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < hosts->count; i++)
        abuse_host_addresses(hosts->before[i], selftest->addresses, sizeof(selftest->addresses));
    selftest->target = (struct abuse_target){
        .address = config->http_listen,
        .token = hosts->api.token,
        .worker = selftest->worker,
        .prelude = selftest->prelude,
        .hosts = selftest->addresses,
        .connections = config->network_connections,
    };
    selftest->findings = json_array();
    run_cases(selftest);
    selftest_hosts_end(hosts, say_host, selftest);
    if (selftest->json)
        print_json(selftest);
    else
        print_sums(selftest);
    free(selftest->outcomes);
    json_decref(selftest->findings);
    selftest_hosts_finish(hosts);
    return selftest->cases_of[ABUSE_FAILED] + selftest->hosts_of[ABUSE_FAILED] == 0 ? EXIT_OK
                                                                                    : EXIT_FAILED;
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

int cli_selftest(int argc, char **argv)
{
    static struct selftest selftest; /* too large for a stack */
    struct err err = {0};
    selftest.json = options_take_flag(&argc, argv, "--json");
    selftest.list = options_take_flag(&argc, argv, "--list");
    int code = EXIT_USAGE;
    if (options_take_text(&argc, argv, "--worker", &selftest.worker, &err) != 0 ||
        options_parse(&selftest.options, argc, argv, &err) != 0)
        goto out;
    if (selftest.worker && !id_name_valid(selftest.worker)) {
        err_set(&err, ERR_BAD_REQUEST, "--worker: \"%.60s\" is no worker's name", selftest.worker);
        goto out;
    }
    code = EXIT_FAILED;
    if (load(&selftest, &err) != 0)
        goto out;
    if (choose(&selftest, &err) != 0) {
        code = EXIT_USAGE;
    } else if (selftest.list) {
        print_list(&selftest);
        code = EXIT_OK;
    } else {
        code = run_all(&selftest, &err);
    }
    abuse_cases_free(selftest.cases, selftest.count);
out:
    if (err.msg[0])
        fprintf(stderr, "codeland selftest: %s\n", err.msg);
    return code;
}
