#include "../common/json.h"
#include "../common/mem.h"
#include "api.h"
#include "inquiry.h"

#include <dirent.h>
#include <string.h>

/* This process's own, but for the one that looks. */
static json_int_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    json_int_t count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count > 3 ? count - 3 : 0;
}

static void tell(struct exchange *exchange, const json_t *result)
{
    size_t resident = 0;
    uv_resident_set_memory(&resident);
    cleanup_json json_t *whole =
        json_pack("{s:O, s:{s:I, s:I}}", "worker", result, "manager", "descriptors",
                  count_descriptors(), "memory", (json_int_t)resident);
    cleanup_free char *text = json_dumps(whole, JSON_COMPACT);
    struct buf body;
    if (!text)
        mem_exhausted();
    buf_init(&body, EXCHANGE_ANSWER_MAX);
    buf_append_str(&body, text);
    exchange_answer(exchange, 200, &body);
}

void api_footprint_get(struct exchange *exchange)
{
    struct failure failure = {0};
    struct worker *worker = inquiry_worker(exchange);
    if (!worker)
        return;
    struct inquiry *inquiry = inquiry_create(exchange, tell);
    inquiry_begin(inquiry,
                  call_footprint(exchange->app->loop, worker, inquiry_done, inquiry, &failure),
                  &failure);
}
