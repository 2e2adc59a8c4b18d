/* The handlers of the routes, one file a subject. */
#ifndef HTTP_API_H
#define HTTP_API_H

#include "exchange.h"

/* api_runner.c */
void api_runner_run(struct exchange *exchange);
void api_runner_new(struct exchange *exchange);
void api_runner_exec(struct exchange *exchange);
void api_runner_list(struct exchange *exchange);
void api_runner_get(struct exchange *exchange);
void api_runner_delete(struct exchange *exchange);

/* api_worker.c */
void api_worker_get(struct exchange *exchange);

/* api_workers.c */
void api_workers_list(struct exchange *exchange);
void api_workers_get(struct exchange *exchange);
void api_workers_add(struct exchange *exchange);
void api_workers_remove(struct exchange *exchange);
void api_workers_drain(struct exchange *exchange);
void api_workers_resume(struct exchange *exchange);

/* api_zombies.c */
void api_zombies_list(struct exchange *exchange);
void api_zombies_remove(struct exchange *exchange);

/* api_doctor.c */
void api_doctor_start(struct exchange *exchange);
void api_doctor_get(struct exchange *exchange);

/* health.c */
void health_alive(struct exchange *exchange);
void health_ready(struct exchange *exchange);

#endif
