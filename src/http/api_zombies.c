#include "../common/mem.h"
#include "../manager/calls.h"
#include "api.h"

#include <string.h>

/* How it works. Every worker is asked at once; the answer is of all that answered, and names those
 * that did not. Only when none did is it a failure.
 */
struct question {
    struct zombies *zombies;
    struct call *call;
    char worker[NAME_MAX_LEN + 1];
};

struct zombies {
    struct exchange *exchange;
    bool remove;
    size_t asked, left;     /* questions, and those without an answer */
    json_t *found;          /* [[name, worker], ...] */
    json_t *failed;         /* [[worker, message], ...] */
    struct failure failure; /* the last one */
    struct question questions[];
};

static void zombies_free(struct zombies *zombies)
{
    json_decref(zombies->found);
    json_decref(zombies->failed);
    free(zombies);
}

static void on_gone(struct exchange *exchange, void *data)
{
    (void)exchange;
    struct zombies *zombies = data;
    for (size_t i = 0; i < zombies->asked; i++)
        if (zombies->questions[i].call)
            call_cancel(zombies->questions[i].call);
    zombies_free(zombies);
}

static const char *part(const json_t *pair, size_t index)
{
    return json_string_value(json_array_get(pair, index));
}

/* {name: {"name", "worker"}}: a map by name, as it always was. */
static void put_map(struct json_writer *json, const json_t *found)
{
    size_t i;
    json_t *pair;
    json_put_open(json, "res", '{');
    json_array_foreach((json_t *)found, i, pair)
    {
        json_put_open(json, part(pair, 0), '{');
        json_put_text(json, "name", part(pair, 0));
        json_put_text(json, "worker", part(pair, 1));
        json_close(json, '}');
    }
    json_close(json, '}');
}

static void put_failed(struct json_writer *json, const json_t *failed)
{
    size_t i;
    json_t *pair;
    json_put_open(json, "failed", '[');
    json_array_foreach((json_t *)failed, i, pair)
    {
        json_open(json, '{');
        json_put_text(json, "worker", part(pair, 0));
        json_put_text(json, "message", part(pair, 1));
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* `res` is "success" once they are removed. */
static void answer(struct zombies *zombies)
{
    struct exchange *exchange = zombies->exchange;
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    size_t i;
    json_t *pair;
    json_open(&json, '{');
    if (zombies->remove)
        json_put_text(&json, "res", "success");
    else
        put_map(&json, zombies->found);
    json_put_open(&json, "zombies", '[');
    json_array_foreach(zombies->found, i, pair) json_put_text(&json, NULL, part(pair, 0));
    json_close(&json, ']');
    if (json_array_size(zombies->failed) > 0)
        put_failed(&json, zombies->failed);
    json_close(&json, '}');
    zombies_free(zombies);
    exchange_answer(exchange, 200, &body);
}

static void note_failure(struct zombies *zombies, const char *worker, const struct failure *failure)
{
    zombies->failure = *failure;
    json_array_append_new(zombies->failed, json_pack("[s, s]", worker, failure->err.msg));
}

static void finish(struct zombies *zombies)
{
    if (json_array_size(zombies->failed) < zombies->asked) {
        answer(zombies);
        return;
    }
    struct exchange *exchange = zombies->exchange;
    struct failure failure = zombies->failure;
    zombies_free(zombies);
    exchange_fail_with(exchange, &failure);
}

static int take_names(struct zombies *zombies, const char *worker, const json_t *names,
                      struct err *err)
{
    size_t i;
    json_t *name;
    bool good = json_is_array(names);
    json_array_foreach((json_t *)names, i, name) good &= json_is_string(name);
    if (!good)
        return err_set(err, ERR_BAD_GATEWAY,
                       "RESULT of the worker: zombies: must be a list of names");
    json_array_foreach((json_t *)names, i, name)
        json_array_append_new(zombies->found, json_pack("[s, s]", json_string_value(name), worker));
    return 0;
}

static void on_answer(const json_t *result, const struct failure *failure, void *data)
{
    struct question *question = data;
    struct zombies *zombies = question->zombies;
    struct failure wrong = {0};
    question->call = NULL;
    if (failure)
        note_failure(zombies, question->worker, failure);
    else if (take_names(zombies, question->worker, json_object_get(result, "zombies"),
                        &wrong.err) != 0)
        note_failure(zombies, question->worker, &wrong);
    if (--zombies->left == 0)
        finish(zombies);
}

static void ask(struct exchange *exchange, bool remove)
{
    const struct fleet *fleet = exchange->app->fleet;
    size_t count = fleet_count(fleet);
    struct zombies *zombies = mem_calloc(1, sizeof(*zombies) + count * sizeof(struct question));
    zombies->exchange = exchange;
    zombies->remove = remove;
    zombies->asked = count;
    zombies->found = json_array();
    zombies->failed = json_array();
    for (size_t i = 0; i < count; i++) {
        struct failure failure = {0};
        struct question *question = &zombies->questions[i];
        question->zombies = zombies;
        strcpy(question->worker, worker_name(fleet_at(fleet, i)));
        question->call = call_zombies(exchange->app->loop, fleet_at(fleet, i), remove, on_answer,
                                      question, &failure);
        if (question->call)
            zombies->left++;
        else
            note_failure(zombies, question->worker, &failure);
    }
    if (count == 0)
        err_set(&zombies->failure.err, ERR_NOT_AVAILABLE, "there is no worker");
    if (zombies->left > 0)
        exchange_on_gone(exchange, on_gone, zombies);
    else
        finish(zombies);
}

void api_zombies_list(struct exchange *exchange)
{
    ask(exchange, false);
}

void api_zombies_remove(struct exchange *exchange)
{
    ask(exchange, true);
}
