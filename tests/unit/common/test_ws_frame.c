/* WebSocket frames: what one side writes the other reads, and what is none is refused. */
#include "../../../src/common/ws_frame.h"
#include "../../support/cm.h"

#include <stdlib.h>

static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};

static size_t put(char *to, enum ws_opcode opcode, bool fin, const char *data, size_t len,
                  bool masked)
{
    size_t at = ws_head_put((unsigned char *)to, opcode, fin, len, masked ? mask : NULL);
    if (masked)
        ws_mask(to + at, data, len, mask, 0);
    else
        memcpy(to + at, data, len);
    return at + len;
}

/* Reads all of data in steps; the message's bytes go to `whole`. Returns how many messages ended,
 * or -1 with why.
 */
static int read_all(const char *data, size_t len, size_t step, bool server, char *whole,
                    size_t *whole_len, const char **why)
{
    struct ws_reader reader = {.server = server};
    char scratch[100];
    int messages = 0;
    bool going = false;
    *whole_len = 0;
    for (size_t at = 0; at < len;) {
        struct ws_piece piece;
        size_t part = len - at < step ? len - at : step;
        long used = ws_read(&reader, data + at, part, scratch, sizeof(scratch), &piece, why);
        if (used < 0)
            return -1;
        assert_true(used > 0 && (size_t)used <= part);
        at += (size_t)used;
        if (piece.opcode != WS_TEXT && piece.opcode != WS_BINARY)
            continue;
        assert_true(piece.len <= sizeof(scratch));
        assert_int_equal(piece.first, !going);
        going = !piece.last;
        memcpy(whole + *whole_len, piece.data, piece.len);
        *whole_len += piece.len;
        messages += piece.last;
    }
    return messages;
}

static void test_every_length_comes_back(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    char *data = malloc(70000), *frame = malloc(70100), *whole = malloc(70000);
    for (size_t i = 0; i < 70000; i++)
        data[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (int server = 0; server < 2; server++) {
            size_t steps[] = {1, 3, 64, 100000}, whole_len;
            size_t len = put(frame, WS_BINARY, true, data, lens[i], server);
            for (size_t k = 0; k < 4; k++) {
                const char *why;
                assert_int_equal(read_all(frame, len, steps[k], server, whole, &whole_len, &why),
                                 1);
                assert_int_equal(whole_len, lens[i]);
                assert_memory_equal(whole, data, whole_len);
            }
        }
    }
    free(data);
    free(frame);
    free(whole);
}

static void test_heads(void **state)
{
    (void)state;
    unsigned char head[WS_HEAD_MAX];
    assert_int_equal(ws_head_put(head, WS_TEXT, true, 5, NULL), 2);
    assert_memory_equal(head, "\x81\x05", 2);
    assert_int_equal(ws_head_put(head, WS_CONTINUATION, false, 256, NULL), 4);
    assert_memory_equal(head, "\x00\x7E\x01\x00", 4);
    assert_int_equal(ws_head_put(head, WS_BINARY, true, 65536, mask), 14);
    assert_memory_equal(head, "\x82\xFF\x00\x00\x00\x00\x00\x01\x00\x00\x37\xFA\x21\x3D", 14);
}

/* The masked "Hello" of RFC 6455, section 5.7, in two fragments with a ping between them. */
static void test_fragments_and_control_frames(void **state)
{
    (void)state;
    char frames[100], whole[100], scratch[100];
    size_t len = put(frames, WS_TEXT, false, "Hel", 3, true), whole_len;
    len += put(frames + len, WS_PING, true, "Hello", 5, true);
    len += put(frames + len, WS_CONTINUATION, true, "lo", 2, true);
    len += put(frames + len, WS_CLOSE, true,
               "\x03\xE8"
               "bye",
               5, true);
    struct ws_reader reader = {.server = true};
    struct ws_piece piece;
    const char *why;
    enum ws_opcode seen[8];
    size_t count = 0, at = 0;
    while (at < len) {
        long used = ws_read(&reader, frames + at, len - at, scratch, sizeof(scratch), &piece, &why);
        assert_true(used > 0);
        at += (size_t)used;
        seen[count++] = piece.opcode;
    }
    assert_int_equal(count, 4);
    assert_int_equal(seen[0], WS_TEXT);
    assert_int_equal(seen[1], WS_PING);
    assert_int_equal(seen[2], WS_TEXT);
    assert_int_equal(seen[3], WS_CLOSE);
    assert_int_equal(piece.code, WS_CODE_NORMAL);
    assert_int_equal(piece.len, 3);
    assert_memory_equal(piece.data, "bye", 3);
    assert_int_equal(read_all(frames, len, 1, true, whole, &whole_len, &why), 1);
    assert_int_equal(whole_len, 5);
    assert_memory_equal(whole, "Hello", 5);
}

static void test_what_is_no_frame(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *words;
    } bad[] = {
        {"\x81\x05Hello", 7, "not masked"},
        {"\xC1\x80"
         "abcd",
         6, "reserved"},
        {"\x83\x80"
         "abcd",
         6, "unknown opcode"},
        {"\x8F\x80"
         "abcd",
         6, "unknown opcode"},
        {"\x80\x80"
         "abcd",
         6, "continuation"},
        {"\x01\x80"
         "abcd\x81\x80"
         "abcd",
         12, "inside another"},
        {"\x09\x80"
         "abcd",
         6, "in fragments"},
        {"\x89\xFE\x00\x7E"
         "abcd",
         8, "more than 125"},
        {"\x81\xFE\x00\x05"
         "abcd",
         8, "too many bytes"},
        {"\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"
         "abcd",
         14, "too many bytes"},
        {"\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x00"
         "abcd",
         14, "too many bytes"},
        {"\x88\x81\x00\x00\x00\x00x", 7, "half a code"},
        {"\x88\x82\x00\x00\x00\x00\x03\xED", 8, "must not be sent"},
        {"\x88\x82\x00\x00\x00\x00\x00\x01", 8, "must not be sent"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t step = 1; step < 20; step += 6) {
            char whole[100];
            size_t whole_len;
            const char *why = NULL;
            assert_int_equal(
                read_all(bad[i].bytes, bad[i].len, step, true, whole, &whole_len, &why), -1);
            assert_contains(why, bad[i].words);
        }
    }
    char whole[100], frame[100];
    size_t whole_len;
    const char *why = NULL;
    size_t len = put(frame, WS_TEXT, true, "x", 1, true);
    assert_int_equal(read_all(frame, len, 1, false, whole, &whole_len, &why), -1);
    assert_contains(why, "masked frame from a server");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_comes_back),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_fragments_and_control_frames),
        cmocka_unit_test(test_what_is_no_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
