#include "../common/mem.h"
#include "../manager/templates.h"
#include "api.h"

static void put_language(struct json_writer *json, const struct language *language,
                         const struct template_choice *choice)
{
    json_open(json, '{');
    json_put_text(json, "name", language->name);
    json_put_text(json, "title", language->title);
    json_put_open(json, "aliases", '[');
    for (char **alias = language->aliases; *alias; alias++)
        json_put_text(json, NULL, *alias);
    json_close(json, ']');
    json_put_text_or_null(json, "version", choice->name ? choice->version : "");
    json_put_text(json, "template", choice->name ? choice->name : language->template_name);
    json_put_bool(json, "available", choice->usable);
    json_put_text(json, "file", language->file);
    json_put_text(json, "sample", language->sample);
    json_close(json, '}');
}

void api_languages_list(struct exchange *exchange)
{
    const struct languages *languages = exchange->app->languages;
    struct template_choice choices[LANGUAGES_MAX];
    templates_find_all(exchange->app->fleet, languages, choices);
    struct buf body;
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    struct json_writer json = {.buf = &body};
    json_open(&json, '[');
    for (size_t i = 0; i < languages_len(languages); i++)
        put_language(&json, languages_at(languages, i), &choices[i]);
    json_close(&json, ']');
    exchange_answer(exchange, 200, &body);
}
