/* The text of one event, into buffers of every size. */
#include "../../../src/http/sse.h"
#include "../../support/cm.h"

#include <string.h>

/* All of text through buffers of that size, and the bytes that it left over. */
static size_t put_all(const char *text, size_t len, bool base64, bool last, size_t room,
                      char *events)
{
    size_t at = 0, filled = 0;
    char out[4096];
    while (at < len) {
        size_t used;
        memset(out, '?', sizeof(out));
        size_t written = sse_output("stdout", base64, text + at, len - at, last, out, room, &used);
        assert_true(written <= room);
        if (written == 0) {
            assert_int_equal(used, 0);
            break;
        }
        assert_true(used > 0 && used <= len - at);
        memcpy(events + filled, out, written);
        filled += written;
        at += used;
    }
    events[filled] = '\0';
    return len - at;
}

static void test_one_event(void **state)
{
    (void)state;
    char events[4096];
    assert_int_equal(put_all("a\n\"\0", 4, false, false, 4096, events), 0);
    assert_string_equal(events, "event: stdout\ndata: \"a\\n\\\"\\u0000\"\n\n");
    assert_int_equal(put_all("hi\n", 3, true, false, 4096, events), 0);
    assert_string_equal(events, "event: stdout\ndata: \"aGkK\"\n\n");
    assert_int_equal(put_all("hi", 2, true, false, 4096, events), 0);
    assert_string_equal(events, "event: stdout\ndata: \"aGk=\"\n\n");
}

static void test_the_start_of_a_character_is_left_over(void **state)
{
    (void)state;
    char events[4096];
    assert_int_equal(put_all("z\xE2\x82", 3, false, false, 4096, events), 2);
    assert_string_equal(events, "event: stdout\ndata: \"z\"\n\n");
    assert_int_equal(put_all("\xE2\x82", 2, false, false, 4096, events), 2);
    assert_string_equal(events, "");
    assert_int_equal(put_all("\xE2\x82", 2, false, true, 4096, events), 0);
    assert_string_equal(events, "event: stdout\ndata: \"\xEF\xBF\xBD\"\n\n");
    assert_int_equal(put_all("\xE2\x82\xAC", 3, false, false, 4096, events), 0);
    assert_string_equal(events, "event: stdout\ndata: \"\xE2\x82\xAC\"\n\n");
}

/* What lies between the quotes of all events, one after the other. */
static void join(const char *events, char *text)
{
    static const char head[] = "event: stdout\ndata: \"", tail[] = "\"\n\n";
    while (*events) {
        assert_memory_equal(events, head, strlen(head));
        events += strlen(head);
        const char *end = strstr(events, tail);
        assert_non_null(end);
        memcpy(text, events, (size_t)(end - events));
        text += end - events;
        events = end + strlen(tail);
    }
    *text = '\0';
}

static void test_buffers_of_every_size(void **state)
{
    (void)state;
    static const char text[] = "one\n\x01\x02\x03\x04\x05\x06\x07 \xF0\x9F\x98\x80 \xFF two "
                               "\xC3\xA9\xC3\xA9\xC3\xA9 three, which is longer than one piece";
    char whole[4096], events[16384], joined[4096];
    put_all(text, strlen(text), false, true, sizeof(whole), events);
    join(events, whole);
    for (size_t room = SSE_LEAST; room < 300; room++) {
        assert_int_equal(put_all(text, strlen(text), false, true, room, events), 0);
        join(events, joined);
        assert_string_equal(joined, whole);
    }
    put_all(text, strlen(text), true, true, sizeof(whole), events);
    join(events, whole);
    for (size_t room = SSE_LEAST; room < 300; room++) {
        assert_int_equal(put_all(text, strlen(text), true, true, room, events), 0);
        join(events, joined);
        assert_string_equal(joined, whole); /* whole groups of three, so no padding inside */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_event),
        cmocka_unit_test(test_the_start_of_a_character_is_left_over),
        cmocka_unit_test(test_buffers_of_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
