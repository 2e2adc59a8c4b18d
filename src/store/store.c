#include "store.h"

#include "../common/mem.h"
#include "../common/str.h"
#include "store_job.h"

#include <pthread.h>
#include <signal.h>

/* How it works. A verb becomes a job in `posted`; the store's thread works through them in order
 * and moves each to `done`; the uv_async wakes the loop, which answers and frees them. The mutex
 * guards the lists and the flags between them; the connection belongs to the thread once it runs.
 */
struct jobs {
    struct job *first, **end;
};

struct store {
    sqlite3 *db;
    uv_async_t wake;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;   /* a job was posted or done, or it is time to stop */
    struct jobs posted, done; /* guarded, as all below */
    unsigned unanswered;      /* jobs posted and not yet answered */
    unsigned unworked;        /* of those, not yet done */
    bool stopping;
    bool destroyed; /* of the loop's side */
};

static void jobs_init(struct jobs *jobs)
{
    *jobs = (struct jobs){.first = NULL, .end = &jobs->first};
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    *jobs->end = job;
    jobs->end = &job->next;
}

static struct job *jobs_take(struct jobs *jobs)
{
    struct job *job = jobs->first;
    if (job) {
        jobs->first = job->next;
        if (!jobs->first)
            jobs->end = &jobs->first;
    }
    return job;
}

static void job_free(struct job *job)
{
    free(job->list);
    free(job->workers);
    free(job);
}

static void *work(void *data)
{
    struct store *store = data;
    pthread_mutex_lock(&store->mutex);
    for (;;) {
        struct job *job = jobs_take(&store->posted);
        if (!job && store->stopping)
            break;
        if (!job) {
            pthread_cond_wait(&store->changed, &store->mutex);
            continue;
        }
        pthread_mutex_unlock(&store->mutex);
        job->work(job, store->db);
        pthread_mutex_lock(&store->mutex);
        store->unworked--;
        jobs_add(&store->done, job);
        pthread_cond_broadcast(&store->changed);
        uv_async_send(&store->wake);
    }
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}

static void answer_done(struct store *store)
{
    while (!store->destroyed) {
        pthread_mutex_lock(&store->mutex);
        struct job *job = jobs_take(&store->done);
        store->unanswered -= job != NULL;
        pthread_mutex_unlock(&store->mutex);
        if (!job)
            return;
        job->answer(job, job->failed ? &job->err : NULL);
        job_free(job);
    }
}

static void on_wake(uv_async_t *wake)
{
    answer_done(wake->data);
}

void store_post(struct store *store, struct job *job)
{
    pthread_mutex_lock(&store->mutex);
    if (store->unanswered >= STORE_QUEUE_MAX) {
        err_set(&job->err, ERR_NOT_AVAILABLE, "store: %d operations are waiting already",
                STORE_QUEUE_MAX);
        job->failed = true;
        jobs_add(&store->done, job);
        uv_async_send(&store->wake);
    } else {
        store->unworked++;
        jobs_add(&store->posted, job);
        pthread_cond_broadcast(&store->changed);
    }
    store->unanswered++;
    pthread_mutex_unlock(&store->mutex);
}

/* The thread takes no signal: they are the loop's. */
static int start_thread(struct store *store, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&store->thread, NULL, work, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_sys(err, ERR_INTERNAL, failed, "store: start its thread") : 0;
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct store *store = handle->data;
    pthread_mutex_destroy(&store->mutex);
    pthread_cond_destroy(&store->changed);
    free(store);
}

struct store *store_open(const char *path, uv_loop_t *loop, struct err *err)
{
    sqlite3 *db;
    if (sqlite_open(path, &db, err) != 0)
        return NULL;
    struct store *store = mem_new(struct store);
    int status = uv_async_init(loop, &store->wake, on_wake);
    if (status != 0) {
        err_sys(err, ERR_INTERNAL, -status, "store: uv_async_init");
        sqlite_close(db);
        free(store);
        return NULL;
    }
    store->wake.data = store;
    store->db = db;
    jobs_init(&store->posted);
    jobs_init(&store->done);
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->changed, NULL);
    if (start_thread(store, err) != 0) {
        sqlite_close(db);
        uv_close((uv_handle_t *)&store->wake, on_wake_closed);
        return NULL;
    }
    return store;
}

void store_destroy(struct store *store)
{
    if (!store || store->destroyed)
        return;
    store->destroyed = true;
    pthread_mutex_lock(&store->mutex);
    store->stopping = true;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mutex);
    pthread_join(store->thread, NULL);
    sqlite_close(store->db);
    for (struct job *job; (job = jobs_take(&store->done));)
        job_free(job);
    uv_close((uv_handle_t *)&store->wake, on_wake_closed);
}

void store_wait(struct store *store)
{
    pthread_mutex_lock(&store->mutex);
    while (store->unanswered > 0 && !store->destroyed) {
        while (store->unworked > 0)
            pthread_cond_wait(&store->changed, &store->mutex);
        pthread_mutex_unlock(&store->mutex);
        answer_done(store);
        pthread_mutex_lock(&store->mutex);
    }
    pthread_mutex_unlock(&store->mutex);
}

void store_answer_plain(const struct job *job, const struct err *err)
{
    job->cb.done(err, job->data);
}

static void work_identity(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_read_identity(db, job->identity, &job->err) != 0;
}

static void answer_identity(const struct job *job, const struct err *err)
{
    job->cb.identity(err ? NULL : job->identity, err, job->data);
}

void store_read_identity(struct store *store, store_identity_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){
        .work = work_identity, .answer = answer_identity, .cb.identity = done, .data = data};
    store_post(store, job);
}

static void work_add_token(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_add_token(db, &job->token, &job->err) != 0;
}

void store_add_token(struct store *store, const struct token *token, store_done_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){.work = work_add_token,
                        .answer = store_answer_plain,
                        .cb.done = done,
                        .data = data,
                        .token = *token};
    store_post(store, job);
}

static void work_list_tokens(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_list_tokens(db, &job->list, &job->count, &job->err) != 0;
}

static void answer_tokens(const struct job *job, const struct err *err)
{
    job->cb.tokens(job->list, job->count, err, job->data);
}

void store_list_tokens(struct store *store, store_tokens_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){
        .work = work_list_tokens, .answer = answer_tokens, .cb.tokens = done, .data = data};
    store_post(store, job);
}

static void work_delete_token(struct job *job, sqlite3 *db)
{
    job->failed = sqlite_delete_token(db, job->token.id, &job->err) != 0;
}

void store_delete_token(struct store *store, const char *id, store_done_cb done, void *data)
{
    struct job *job = mem_new(struct job);
    *job = (struct job){
        .work = work_delete_token, .answer = store_answer_plain, .cb.done = done, .data = data};
    if (!str_format(job->token.id, sizeof(job->token.id), "%s", id))
        job->token.id[0] = '\0'; /* cut, it could name another; "" names none */
    store_post(store, job);
}
