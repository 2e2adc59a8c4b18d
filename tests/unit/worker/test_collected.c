#include "../../../src/worker/collected.h"

#include "../../../src/common/agent_wire.h"
#include "../../support/cm.h"

static struct collected collected;
static struct buf said;     /* what the agent says */
static struct buf received; /* what the caller gets: a line for each frame */

static void begin(int64_t bytes, int64_t files)
{
    collected_init(&collected, bytes, files);
    buf_clear(&said);
    buf_clear(&received);
}

static int set_up(void **data)
{
    (void)data;
    buf_init(&said, 1024 * 1024);
    buf_init(&received, 1024 * 1024);
    begin(1000, 10);
    return 0;
}

static int tear_down(void **data)
{
    (void)data;
    collected_finish(&collected);
    buf_finish(&said);
    buf_finish(&received);
    return 0;
}

static void say(enum frame_type type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, (uint8_t)type, 0, (uint32_t)len);
    buf_append(&said, header, sizeof(header));
    buf_append(&said, payload, len);
}

static void say_found(enum agent_found_kind kind, const char *path, uint64_t size)
{
    char payload[8192];
    const struct agent_found found = {.kind = kind, .mode = 0644, .size_bytes = size, .path = path};
    size_t len = agent_found_encode(&found, payload, sizeof(payload));
    assert_true(len > 0);
    say(FRAME_AGENT_FOUND, payload, len);
}

static void say_data(const char *text)
{
    say(FRAME_FILE_DATA, text, strlen(text));
}

static void say_end(bool cut)
{
    char payload[64];
    const struct agent_collected end = {.cut = cut};
    say(FRAME_AGENT_COLLECTED, payload, agent_collected_encode(&end, payload, sizeof(payload)));
}

static void on_frame(enum frame_type type, const void *payload, size_t len, void *data)
{
    assert_ptr_equal(data, &received);
    buf_append_str(&received, type == FRAME_FOUND ? "found " : "data ");
    buf_append(&received, payload, len);
    buf_append_str(&received, "\n");
}

static void feed(void)
{
    collected_feed(&collected, said.data, said.len, on_frame, &received);
    buf_clear(&said);
}

static const char *lines(void)
{
    return received.data && received.len ? received.data : "";
}

static void say_a_good_answer(void)
{
    say_found(AGENT_FOUND_FILE, "out/a.txt", 8);
    say_data("some");
    say_data("");
    say_data("more");
    say_found(AGENT_FOUND_LINK, "link", 0);
    say_found(AGENT_FOUND_TOO_LARGE, "large", 5000000000);
    say_found(AGENT_FOUND_FILE, "empty", 0);
    say_end(false);
}

static const char good[] = "found {\"path\":\"out/a.txt\",\"size\":8,\"mode\":420}\n"
                           "data some\n"
                           "data more\n"
                           "found {\"path\":\"link\",\"size\":0,\"mode\":420,\"error\":\"link\"}\n"
                           "found {\"path\":\"large\",\"size\":5000000000,\"mode\":420,"
                           "\"error\":\"tooLarge\"}\n"
                           "found {\"path\":\"empty\",\"size\":0,\"mode\":420}\n";

static void files_come_with_what_they_hold(void **data)
{
    (void)data;
    say_a_good_answer();
    feed();
    assert_string_equal(lines(), good);
    assert_true(collected.over);
    assert_false(collected.cut);
    assert_int_equal(collected.bytes_left, 992);
    assert_int_equal(collected.files_left, 6);
}

static void it_may_come_in_pieces_of_any_size(void **data)
{
    (void)data;
    for (size_t piece = 1; piece < 50; piece++) {
        collected_finish(&collected);
        begin(1000, 10);
        say_a_good_answer();
        for (size_t at = 0; at < said.len; at += piece)
            collected_feed(&collected, said.data + at,
                           said.len - at < piece ? said.len - at : piece, on_frame, &received);
        assert_string_equal(lines(), good);
        assert_false(collected.cut);
    }
}

static void without_its_end_it_is_cut(void **data)
{
    (void)data;
    say_found(AGENT_FOUND_FILE, "a", 4);
    feed();
    assert_false(collected.over);
    assert_true(collected.cut);
    say_end(true);
    feed();
    assert_true(collected.over);
    assert_true(collected.cut);
}

/* What it said before stays; nothing after it counts. */
static void assert_ends_here(const char *before)
{
    say_found(AGENT_FOUND_FILE, "later", 1);
    say_end(false);
    feed();
    assert_string_equal(lines(), before);
    assert_true(collected.over);
    assert_true(collected.cut);
    feed();
    say_found(AGENT_FOUND_FILE, "later", 1);
    feed();
    assert_string_equal(lines(), before);
    collected_finish(&collected);
    begin(1000, 10);
}

static void what_makes_no_sense_ends_it(void **data)
{
    (void)data;
    static const char *const paths[] = {"/etc/passwd", "../a", "a/../b", "a//b", "a\nb", "a\xff"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        say_found(AGENT_FOUND_FILE, paths[i], 1);
        assert_ends_here("");
    }
    say_data("data without a file");
    assert_ends_here("");
    say_found(AGENT_FOUND_LINK, "link", 0);
    say_data("data of a link");
    assert_ends_here("found {\"path\":\"link\",\"size\":0,\"mode\":420,\"error\":\"link\"}\n");
    say(FRAME_STDOUT, "x", 1);
    assert_ends_here("");
    say(FRAME_AGENT_FOUND, "\1\0\0", 3);
    assert_ends_here("");
    say(FRAME_AGENT_COLLECTED, "", 0);
    assert_ends_here("");
    buf_append(&said, "\377\377\377\377\377\377\377\377", 8);
    assert_ends_here("");
}

static void more_than_may_come_ends_it(void **data)
{
    (void)data;
    collected_finish(&collected);
    begin(10, 2);
    say_found(AGENT_FOUND_FILE, "a", 11);
    say_data("0123456789");
    say_data("0");
    assert_ends_here("found {\"path\":\"a\",\"size\":11,\"mode\":420}\ndata 0123456789\n");
    collected_finish(&collected);
    begin(10, 1);
    say_found(AGENT_FOUND_FOLDER, "a", 0);
    say_found(AGENT_FOUND_FOLDER, "b", 0);
    assert_ends_here("found {\"path\":\"a\",\"size\":0,\"mode\":420,\"error\":\"folder\"}\n");
}

static void the_largest_frames_fit(void **data)
{
    (void)data;
    static char large[FRAME_DATA_MAX];
    collected_finish(&collected);
    begin(4 * FRAME_DATA_MAX, 1);
    memset(large, 'x', sizeof(large));
    say_found(AGENT_FOUND_FILE, "a", 3 * FRAME_DATA_MAX);
    for (int i = 0; i < 3; i++)
        say(FRAME_FILE_DATA, large, sizeof(large));
    say_end(false);
    for (size_t at = 0; at < said.len; at += 65536)
        collected_feed(&collected, said.data + at, said.len - at < 65536 ? said.len - at : 65536,
                       on_frame, &received);
    assert_int_equal(collected.bytes_left, FRAME_DATA_MAX);
    assert_false(collected.cut);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(files_come_with_what_they_hold), CASE(it_may_come_in_pieces_of_any_size),
        CASE(without_its_end_it_is_cut),      CASE(what_makes_no_sense_ends_it),
        CASE(more_than_may_come_ends_it),     CASE(the_largest_frames_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
