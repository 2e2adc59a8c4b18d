#include "worker.h"

#include "../common/json.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *key)
{
    return (int64_t)json_number_value(json_object_get(object, key));
}

/* Why it does not take runs, or "". */
static const char *complaint(const json_t *worker)
{
    const json_t *link = json_object_get(worker, "link");
    if (text_of(worker, "why")[0])
        return text_of(worker, "why");
    return strcmp(text_of(link, "state"), "up") == 0 ? "" : text_of(link, "lastError");
}

int cli_worker_ls(struct worker_words *words)
{
    struct err err;
    size_t i;
    json_t *worker, *list = NULL;
    cleanup_json json_t *answer = api_ask(&words->api, "GET", "/workers", NULL, &err);
    if (!answer || json_get_array(answer, "workers", true, &list, &err) != 0)
        return cli_worker_failed(&err);
    printf("%-16s %-9s %-5s %8s %6s %6s  %-28s %s\n", "NAME", "STATUS", "LINK", "LATENCY", "WARM",
           "IN USE", "WHERE", "WHY");
    json_array_foreach(list, i, worker)
    {
        const json_t *link = json_object_get(worker, "link");
        const json_t *runners = json_object_get(worker, "runners");
        char latency[24] = "-";
        if (json_is_number(json_object_get(link, "latency")))
            snprintf(latency, sizeof(latency), "%.1f ms",
                     json_number_value(json_object_get(link, "latency")));
        printf("%-16s %-9s %-5s %8s %6" PRId64 " %6" PRId64 "  %-28s %s\n", text_of(worker, "name"),
               text_of(worker, "status"), text_of(link, "state"), latency,
               number_of(runners, "available"), number_of(runners, "inUse"),
               text_of(worker, "location"), complaint(worker));
    }
    return EXIT_OK;
}

int cli_worker_show(struct worker_words *words)
{
    char path[120];
    struct err err;
    cli_worker_path(path, words->name, "");
    cleanup_json json_t *answer = api_ask(&words->api, "GET", path, NULL, &err);
    if (!answer)
        return cli_worker_failed(&err);
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    return EXIT_OK;
}
