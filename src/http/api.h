/* The handlers of the routes, one file a subject. */
#ifndef HTTP_API_H
#define HTTP_API_H

#include "exchange.h"
#include "run_body.h"

/* api_runner.c */
void api_runner_run(struct exchange *exchange);
void api_runner_new(struct exchange *exchange);
void api_runner_exec(struct exchange *exchange);
void api_runner_list(struct exchange *exchange);
void api_runner_get(struct exchange *exchange);
void api_runner_delete(struct exchange *exchange);

/* api_runner.c too, for whoever else starts runs: what text, a body, asks for; the caller owns
 * request->hold.
 */
int api_run_parse(struct exchange *exchange, enum run_body_kind kind, const char *text, size_t len,
                  bool streamed, struct run_request *request, struct err *err);

/* The worker of the runner that the path names, when the caller may touch it. */
struct worker *api_runner_find(struct exchange *exchange, const struct runner_info **info,
                               struct failure *failure);

/* api_exec.c */
void api_exec_run(struct exchange *exchange);
void api_exec_new(struct exchange *exchange);
void api_exec_named(struct exchange *exchange);

/* api_languages.c */
void api_languages_list(struct exchange *exchange);

/* api_worker.c */
void api_worker_get(struct exchange *exchange);

/* api_workers.c */
void api_workers_list(struct exchange *exchange);
void api_workers_get(struct exchange *exchange);
void api_workers_add(struct exchange *exchange);
void api_workers_remove(struct exchange *exchange);
void api_workers_drain(struct exchange *exchange);
void api_workers_resume(struct exchange *exchange);

/* api_ovens.c */
void api_ovens_get(struct exchange *exchange);
void api_ovens_change(struct exchange *exchange);

/* api_zombies.c */
void api_zombies_list(struct exchange *exchange);
void api_zombies_remove(struct exchange *exchange);

/* api_footprint.c */
void api_footprint_get(struct exchange *exchange);

/* api_doctor.c */
void api_doctor_start(struct exchange *exchange);
void api_doctor_get(struct exchange *exchange);

/* health.c */
void health_alive(struct exchange *exchange);
void health_ready(struct exchange *exchange);

#endif
