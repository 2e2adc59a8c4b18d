/* What the API tells of a worker. */
#ifndef HTTP_WORKER_JSON_H
#define HTTP_WORKER_JSON_H

#include "../manager/provision.h"
#include "../manager/workers.h"
#include "json_writer.h"

struct worker_view {
    const struct worker *worker;
    bool leaving; /* being removed */
    bool admin;
    const struct worker_spec *spec; /* NULL: not told */
    enum workers_source source;
    const struct provision *provision; /* the last task of its host; NULL: none */
};

/* An object of GET /workers. */
void worker_json_put_view(struct json_writer *json, const struct worker_view *view);

/* The same for a host that is being made a worker and is none yet. */
void worker_json_put_provision(struct json_writer *json, const struct provision *at);

/* The members of a template's oven. */
void worker_json_put_template(struct json_writer *json, const struct worker_oven *oven);

/* One member each: "worker", "oven", "memory" and "df" of a worker that has figures. */
void worker_json_put_worker(struct json_writer *json, const struct worker *worker);
void worker_json_put_oven(struct json_writer *json, const struct worker *worker);
void worker_json_put_memory(struct json_writer *json, const struct worker *worker);
void worker_json_put_df(struct json_writer *json, const struct worker *worker);

#endif
