/* The head of an HTTP request, from the internet. */
#include "fuzz.h"

#include "../../src/common/str.h"
#include "../../src/http/head.h"

static void check_slice(struct http_slice slice, const char *data, size_t used)
{
    if (!slice.text)
        return;
    must(slice.text >= data && slice.len <= used);
    must((size_t)(slice.text - data) <= used - slice.len);
    for (size_t i = 0; i < slice.len; i++) /* no line's end, no NUL */
        must(slice.text[i] != '\r' && slice.text[i] != '\n' && slice.text[i] != '\0');
}

static void check_head(const struct http_head *head, const char *data, size_t used)
{
    must(used <= HTTP_HEAD_MAX && used >= 16);
    must(data[used - 1] == '\n');
    must(head->path.text && head->path.len > 0);
    must(head->path.text[0] == '/' || (head->path.len == 1 && head->path.text[0] == '*'));
    must(!(head->chunked && head->has_length)); /* two lengths: whose is it? */
    must(head->has_length || head->content_length == 0);
    if (head->path.len > 1) /* the "/" of "http://host" is nowhere in data */
        check_slice(head->path, data, used);
    const struct http_slice slices[] = {head->query, head->authorization, head->auth_token,
                                        head->content_type};
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
        check_slice(slices[i], data, used);
    char text[64];
    bool valid;
    if (http_decode(head->path, false, text, sizeof(text)))
        must(strlen(text) < sizeof(text) && strlen(text) <= head->path.len);
    if (http_query_get(head->query, "time", text, sizeof(text), &valid) && valid)
        must(strlen(text) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *data = (const char *)bytes;
    struct http_head head, again;
    size_t used = 0, ignored;
    struct err err = {0};
    enum http_head_status status = http_head_parse(data, size, &head, &used, &err);
    if (status == HTTP_HEAD_BAD) {
        size_t len = strlen(err.msg);
        must(len > 0 && str_utf8_valid(err.msg, len) == len);
        must(err.code == ERR_BAD_REQUEST || err.code == ERR_HEADERS_TOO_LARGE);
        return 0;
    }
    if (status == HTTP_HEAD_MORE) {
        must(size < HTTP_HEAD_MAX);
        return 0;
    }
    must(used <= size);
    check_head(&head, data, used);
    /* What comes after the head does not change it, and any cut of it wants more. */
    must(http_head_parse(data, used, &again, &ignored, &err) == HTTP_HEAD_OK && ignored == used);
    for (size_t cut = 0; cut < used; cut += cut < 512 ? 1 : 61) {
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, data, cut);
        must(http_head_parse(copy, cut, &again, &ignored, &err) == HTTP_HEAD_MORE);
        free(copy);
    }
    return 0;
}
