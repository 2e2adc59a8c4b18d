#include "../../../src/common/mem.h"
#include "../../../src/http/result_json.h"
#include "../../support/cm.h"
#include "../../support/known_languages.h"

#include <stdlib.h>

static struct run_result *make_result(const char *status)
{
    struct run_result *result = mem_new(struct run_result);
    strcpy(result->runner, "cr-7f3k2m9a");
    strcpy(result->program.status, status);
    result->program.exit = -1;
    result->queued_ms = 0.1;
    result->program.wall_ms = 1.9;
    result->program.cpu_user_ms = 0.8;
    result->program.cpu_sys_ms = 0.6;
    result->program.memory_peak_bytes = 1437696;
    result->language = languages_default(known_languages());
    output_init(&result->program.output, 1 << 20);
    return result;
}

/* The whole text, read through a buffer of that size. */
static void read_all(struct result_json *json, size_t room, struct buf *text)
{
    char *piece = mem_calloc(1, room);
    size_t len;
    buf_clear(text);
    while ((len = result_json_read(json, piece, room)) > 0)
        buf_append(text, piece, len);
    free(piece);
}

static void test_text(void **state)
{
    (void)state;
    struct run_result *result = make_result("ok");
    struct buf text;
    result->program.exit = 0;
    output_add(&result->program.output, false, "hi\n", 3);
    output_add(&result->program.output, true, "\xFFoops", 5);
    struct result_json *json = result_json_create(result, 14.2, "0123456789abcdef", 0);
    buf_init(&text, 1 << 20);
    read_all(json, 4096, &text);
    assert_string_equal(
        text.data, "{\"runner\":\"cr-7f3k2m9a\",\"domain\":null,\"duration\":14.2,"
                   "\"res\":\"aGkK/29vcHM=\",\"status\":\"ok\",\"exit\":0,\"signal\":null,"
                   "\"stdout\":\"hi\\n\",\"stderr\":\"\xEF\xBF\xBDoops\","
                   "\"truncated\":{\"stdout\":false,\"stderr\":false},\"queued\":0.1,\"wall\":1.9,"
                   "\"cpuUser\":0.8,\"cpuSys\":0.6,\"memoryPeak\":1437696,\"language\":\"sh\","
                   "\"requestId\":\"0123456789abcdef\"}");
    assert_int_equal(result_json_status(json), 200);
    result_json_destroy(json);
    buf_finish(&text);
}

static void test_timeout_is_an_error_with_a_result(void **state)
{
    (void)state;
    struct run_result *result = make_result("timeout");
    struct buf text;
    strcpy(result->program.signal, "SIGKILL");
    result->program.out_truncated = true;
    struct result_json *json = result_json_create(result, 1, "0123456789abcdef", 0);
    buf_init(&text, 1 << 20);
    read_all(json, 4096, &text);
    assert_int_equal(result_json_status(json), 498);
    assert_contains(text.data, "{\"name\":\"runnerTimedOut\",\"message\":\"");
    assert_contains(text.data, "\"res\":\"\",\"status\":\"timeout\",\"exit\":null,"
                               "\"signal\":\"SIGKILL\",\"stdout\":\"\",\"stderr\":\"\","
                               "\"truncated\":{\"stdout\":true,\"stderr\":false}");
    result_json_destroy(json);
    buf_finish(&text);
}

static void test_nothing_ran(void **state)
{
    (void)state;
    struct buf text;
    struct result_json *json = result_json_create(make_result(""), 1, "0123456789abcdef", 0);
    buf_init(&text, 1 << 20);
    read_all(json, 64, &text);
    assert_string_equal(text.data, "{\"runner\":\"cr-7f3k2m9a\",\"domain\":null,\"duration\":1,"
                                   "\"queued\":0.1,\"requestId\":\"0123456789abcdef\"}");
    result_json_destroy(json);
    buf_finish(&text);
}

/* The compile stage, files, and bytes in place of text. */
static void test_all_parts(void **state)
{
    (void)state;
    struct run_result *result = make_result("ok");
    struct buf text;
    result->program.exit = 0;
    output_add(&result->program.output, false, "\xFF\0", 2);
    strcpy(result->compile.status, "exit");
    result->compile.exit = 1;
    result->compile.wall_ms = 310.5;
    output_init(&result->compile.output, 100);
    output_add(&result->compile.output, true, "bad", 3);
    result->collects = result->files_cut = true;
    result->files = mem_calloc(2, sizeof(*result->files));
    result->files_len = 2;
    result->files[0] =
        (struct run_found){.path = mem_strdup("a\"b"), .size_bytes = 4, .mode = 0644};
    buf_init(&result->files[0].data, 10);
    buf_append(&result->files[0].data, "data", 4);
    result->files[1] = (struct run_found){.path = mem_strdup("d"), .error = "folder"};
    struct result_json *json = result_json_create(result, 1, "0123456789abcdef", RESULT_BASE64);
    buf_init(&text, 1 << 20);
    read_all(json, 64, &text);
    assert_contains(text.data, "\"res\":\"/wA=\",\"status\":\"ok\",\"exit\":0,\"signal\":null,"
                               "\"stdout\":\"/wA=\",\"stderr\":\"\",\"truncated\"");
    assert_contains(text.data,
                    "\"compile\":{\"status\":\"exit\",\"exit\":1,\"signal\":null,"
                    "\"stdout\":\"\",\"stderr\":\"YmFk\","
                    "\"truncated\":{\"stdout\":false,\"stderr\":false},\"duration\":310.5},");
    assert_contains(
        text.data,
        "\"files\":[{\"path\":\"a\\\"b\",\"size\":4,\"mode\":420,\"content\":\"ZGF0YQ==\"},"
        "{\"path\":\"d\",\"size\":0,\"mode\":0,\"error\":\"folder\"}],"
        "\"filesCut\":true,\"queued\":0.1,");
    json_t *parsed = json_loadb(text.data, text.len, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    result_json_destroy(json);
    buf_finish(&text);
}

static size_t decode_base64(const char *text, unsigned char *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    for (; *text; text += 4) {
        unsigned bits = 0, count = 0;
        for (int i = 0; i < 4; i++) {
            const char *digit = text[i] == '=' ? NULL : strchr(digits, text[i]);
            bits = bits << 6 | (digit ? (unsigned)(digit - digits) : 0);
            count += digit != NULL;
        }
        for (unsigned i = 0; i + 1 < count; i++)
            bytes[len++] = (unsigned char)(bits >> (16 - 8 * i));
    }
    return len;
}

/* Output of any bytes, in any order of turns, through any buffer, comes out whole. */
static void test_random_output(void **state)
{
    (void)state;
    unsigned seed = 99;
    for (int round = 0; round < 60; round++) {
        struct run_result *result = make_result("ok");
        struct buf text, order;
        buf_init(&text, 1 << 22);
        buf_init(&order, 1 << 20);
        for (int turn = 0; turn < 200; turn++) {
            char bytes[300];
            seed = seed * 1103515245 + 12345;
            size_t len = (seed >> 16) % (round % 3 ? 7 : sizeof(bytes));
            bool is_err = seed >> 30;
            for (size_t i = 0; i < len; i++) {
                seed = seed * 1103515245 + 12345;
                bytes[i] = (char)(seed >> 16);
            }
            assert_true(output_add(&result->program.output, is_err, bytes, len));
            buf_append(&order, bytes, len);
        }
        struct result_json *json = result_json_create(result, 1, "0123456789abcdef", 0);
        read_all(json, 64 + (size_t)round * 37, &text);
        json_t *parsed = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(parsed);
        const char *res = json_string_value(json_object_get(parsed, "res"));
        unsigned char *bytes = mem_calloc(1, strlen(res) + 1);
        assert_int_equal(decode_base64(res, bytes), order.len);
        assert_memory_equal(bytes, order.data, order.len);
        free(bytes);
        json_decref(parsed);
        result_json_destroy(json);
        buf_finish(&text);
        buf_finish(&order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_timeout_is_an_error_with_a_result),
        cmocka_unit_test(test_nothing_ran),
        cmocka_unit_test(test_all_parts),
        cmocka_unit_test(test_random_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
