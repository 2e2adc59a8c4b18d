#include "store.h"

#include "../common/mem.h"
#include "../common/str.h"
#include "store_job.h"

static void work_add(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_add_worker(db, &job->worker, &job->err) != 0;
}

void store_add_worker(struct store *store, const struct store_worker *worker, store_done_cb done,
                      void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){.work = work_add,
                        .answer = store_answer_plain,
                        .cb.done = done,
                        .data = data,
                        .worker = *worker};
    store_post(store, job);
}

static void work_list(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_list_workers(db, &job->workers, &job->count, &job->err) != 0;
}

static void answer_list(const struct job *job, const struct err *err)
{
    job->cb.workers(job->workers, job->count, err, job->data);
}

void store_list_workers(struct store *store, store_workers_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){.work = work_list, .answer = answer_list, .cb.workers = done, .data = data};
    store_post(store, job);
}

/* A name that is cut could be another's; "" is nobody's. */
static void set_name(struct job *job, const char *name)
{
    if (!str_format(job->worker.name, sizeof(job->worker.name), "%s", name))
        job->worker.name[0] = '\0';
}

static void work_delete(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_delete_worker(db, job->worker.name, &job->err) != 0;
}

void store_delete_worker(struct store *store, const char *name, store_done_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){
        .work = work_delete, .answer = store_answer_plain, .cb.done = done, .data = data};
    set_name(job, name);
    store_post(store, job);
}

static void work_drain(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_drain_worker(db, job->worker.name, job->worker.draining, &job->err) != 0;
}

void store_drain_worker(struct store *store, const char *name, bool draining, store_done_cb done,
                        void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){
        .work = work_drain, .answer = store_answer_plain, .cb.done = done, .data = data};
    set_name(job, name);
    job->worker.draining = draining;
    store_post(store, job);
}
