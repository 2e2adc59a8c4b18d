/* Every message both ways, cut everywhere, with something left over, and past each bound. */
#include "../../../src/common/agent_wire.h"

#include "../../support/cm.h"

#include <stdlib.h>

typedef bool (*decoder)(const void *payload, size_t len);

static unsigned char payload[FRAME_CONTROL_MAX + 16];

/* Each decoder behind one type. */
#define DECODER(name)                                                                              \
    static bool decode_##name(const void *data, size_t len)                                        \
    {                                                                                              \
        static struct agent_##name msg;                                                            \
        return agent_##name##_decode(data, len, &msg);                                             \
    }
DECODER(hello)
DECODER(open)
DECODER(file)
DECODER(exec)
DECODER(signal)
DECODER(op_signal)
DECODER(started)
DECODER(exit)
DECODER(failed)

/* A good payload is good; cut short anywhere, or with a byte more, it is not. */
static void check_lengths(decoder decode, size_t len)
{
    assert_true(len > 0);
    assert_true(decode(payload, len));
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        memcpy(copy, payload, cut);
        if (decode(copy, cut))
            fail_msg("good when cut after %zu of %zu", cut, len);
        free(copy);
    }
    payload[len] = 0;
    assert_false(decode(payload, len + 1));
}

/* Every room below what is needed is refused, and not a byte beyond it is written. */
#define check_rooms(encode, msg, len)                                                              \
    do {                                                                                           \
        for (size_t room_ = 0; room_ < (len); room_++) {                                           \
            unsigned char *small_ = malloc(room_ ? room_ : 1);                                     \
            assert_int_equal(encode(&(msg), small_, room_), 0);                                    \
            free(small_);                                                                          \
        }                                                                                          \
        assert_int_equal(encode(&(msg), payload, (len)), (len));                                   \
    } while (0)

static void hello(void **state)
{
    (void)state;
    struct agent_hello in = {AGENT_PROTOCOL, UINT32_MAX}, out;
    size_t len = agent_hello_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_HELLO));
    assert_true(agent_hello_decode(payload, len, &out));
    assert_int_equal(out.version, in.version);
    assert_int_equal(out.operations, in.operations);
    check_rooms(agent_hello_encode, in, len);
    check_lengths(decode_hello, len);
}

static void open_(void **state)
{
    (void)state;
    struct agent_open in = {0xDEADBEEF, AGENT_OUTPUT_ALL}, out;
    size_t len = agent_open_encode(&in, payload, sizeof(payload));
    assert_int_equal(len, 4); /* no more than an agent before 3 understands */
    assert_true(agent_open_decode(payload, len, &out));
    assert_int_equal(out.id, in.id);
    assert_true(out.output_bytes == AGENT_OUTPUT_ALL);
    check_rooms(agent_open_encode, in, len);
    check_lengths(decode_open, len);
}

static void open_with_a_bound(void **state)
{
    (void)state;
    struct agent_open in = {0xDEADBEEF, 0x123456789ABCDEF0}, out;
    size_t len = agent_open_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_OPEN));
    assert_true(agent_open_decode(payload, len, &out));
    assert_int_equal(out.id, in.id);
    assert_true(out.output_bytes == in.output_bytes);
    check_rooms(agent_open_encode, in, len);
    payload[len] = 0;
    for (size_t other = 0; other <= len + 1; other++)
        assert_int_equal(agent_open_decode(payload, other, &out), other == 4 || other == len);
}

static void file(void **state)
{
    (void)state;
    struct agent_file in = {AGENT_EXEC_ROOT, 0777, 1, "/tmp", "a/gr\xC3\xBC\xC3\x9F.sh"}, out;
    size_t len = agent_file_encode(&in, payload, sizeof(payload));
    assert_true(agent_file_decode(payload, len, &out));
    assert_int_equal(out.flags, AGENT_EXEC_ROOT);
    assert_int_equal(out.mode, 0777);
    assert_int_equal(out.unlink_after, 1);
    assert_string_equal(out.folder, in.folder);
    assert_string_equal(out.name, in.name);
    check_rooms(agent_file_encode, in, len);
    check_lengths(decode_file, len);
}

static void file_bounds(void **state)
{
    (void)state;
    static const struct agent_file wrong[] = {
        {AGENT_EXEC_CGROUP, 0, 0, "", "x"}, {1u << 31, 0, 0, "", "x"}, {0, 01000, 0, "", "x"},
        {0, UINT32_MAX, 0, "", "x"},        {0, 0, 2, "", "x"},
    };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(agent_file_encode(&wrong[i], payload, sizeof(payload)), 0);
        struct agent_file good = {0, 0, 0, "", "x"};
        size_t len = agent_file_encode(&good, payload, sizeof(payload));
        wire_put_u32(payload, wrong[i].flags);
        wire_put_u32(payload + 4, wrong[i].mode);
        wire_put_u32(payload + 8, wrong[i].unlink_after);
        assert_false(decode_file(payload, len));
    }
}

static void exec(void **state)
{
    (void)state;
    static struct agent_exec in = {
        .flags = AGENT_EXEC_ROOT | AGENT_EXEC_CGROUP,
        .cwd = "/home/runner",
        .argc = 3,
        .envc = 2,
        .argv = {"sh", "", "main.sh"},
        .env = {"A=1", "B="},
    };
    static struct agent_exec out;
    size_t len = agent_exec_encode(&in, payload, sizeof(payload));
    memset(&out, 0xEE, sizeof(out));
    assert_true(agent_exec_decode(payload, len, &out));
    assert_int_equal(out.flags, in.flags);
    assert_string_equal(out.cwd, in.cwd);
    assert_int_equal(out.argc, 3);
    assert_int_equal(out.envc, 2);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(out.argv[i], in.argv[i]);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(out.env[i], in.env[i]);
    assert_null(out.argv[3]);
    assert_null(out.env[2]);
    check_rooms(agent_exec_encode, in, len);
    check_lengths(decode_exec, len);
}

static void exec_bounds(void **state)
{
    (void)state;
    static struct agent_exec in, out;
    in.cwd = "";
    for (size_t i = 0; i < AGENT_ARGV_MAX; i++)
        in.argv[i] = "a";
    for (size_t i = 0; i < AGENT_ENV_MAX; i++)
        in.env[i] = "e";
    in.argc = AGENT_ARGV_MAX;
    in.envc = AGENT_ENV_MAX;
    size_t len = agent_exec_encode(&in, payload, sizeof(payload));
    assert_true(len > 0);
    assert_true(agent_exec_decode(payload, len, &out)); /* as many as there may be */
    assert_null(out.argv[AGENT_ARGV_MAX]);
    assert_null(out.env[AGENT_ENV_MAX]);

    /* flags, cwd length, NUL, argc, envc: their places in the payload when cwd is "" */
    enum { FLAGS = 0, ARGC = 9, ENVC = 13 };
    static const struct {
        size_t at;
        uint32_t value;
    } wrong[] = {{FLAGS, 4},
                 {FLAGS, 1u << 31},
                 {ARGC, 0},
                 {ARGC, AGENT_ARGV_MAX + 1},
                 {ARGC, UINT32_MAX},
                 {ENVC, AGENT_ENV_MAX + 1},
                 {ENVC, UINT32_MAX},
                 {ARGC, AGENT_ARGV_MAX - 1},
                 {ENVC, AGENT_ENV_MAX - 1}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint32_t right = wire_get_u32(payload + wrong[i].at);
        wire_put_u32(payload + wrong[i].at, wrong[i].value);
        if (agent_exec_decode(payload, len, &out))
            fail_msg("case %zu", i);
        wire_put_u32(payload + wrong[i].at, right);
    }
    assert_true(agent_exec_decode(payload, len, &out));

    in.argc = 0;
    assert_int_equal(agent_exec_encode(&in, payload, sizeof(payload)), 0);
    in.argc = AGENT_ARGV_MAX + 1;
    assert_int_equal(agent_exec_encode(&in, payload, sizeof(payload)), 0);
    in.argc = 1;
    in.envc = AGENT_ENV_MAX + 1;
    assert_int_equal(agent_exec_encode(&in, payload, sizeof(payload)), 0);
    in.envc = 0;
    in.flags = 4;
    assert_int_equal(agent_exec_encode(&in, payload, sizeof(payload)), 0);
}

static void signal_(void **state)
{
    (void)state;
    struct agent_signal in = {AGENT_SIGNAL_MAX, 1}, out;
    size_t len = agent_signal_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_SIGNAL));
    assert_true(agent_signal_decode(payload, len, &out));
    assert_int_equal(out.signal, AGENT_SIGNAL_MAX);
    assert_int_equal(out.group, 1);
    check_rooms(agent_signal_encode, in, len);
    check_lengths(decode_signal, len);
    static const struct agent_signal wrong[] = {
        {0, 0}, {AGENT_SIGNAL_MAX + 1, 0}, {UINT32_MAX, 0}, {9, 2}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(agent_signal_encode(&wrong[i], payload, sizeof(payload)), 0);
        wire_put_u32(payload, wrong[i].signal);
        wire_put_u32(payload + 4, wrong[i].group);
        assert_false(decode_signal(payload, 8));
    }
}

static void op_signal(void **state)
{
    (void)state;
    struct agent_op_signal in = {UINT32_MAX, AGENT_SIGNAL_MAX, 1}, out;
    size_t len = agent_op_signal_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_OP_SIGNAL));
    assert_true(agent_op_signal_decode(payload, len, &out));
    assert_int_equal(out.id, UINT32_MAX);
    assert_int_equal(out.signal, AGENT_SIGNAL_MAX);
    assert_int_equal(out.group, 1);
    check_rooms(agent_op_signal_encode, in, len);
    check_lengths(decode_op_signal, len);
    static const struct agent_op_signal wrong[] = {
        {1, 0, 0}, {1, AGENT_SIGNAL_MAX + 1, 0}, {1, UINT32_MAX, 0}, {1, 9, 2}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(agent_op_signal_encode(&wrong[i], payload, sizeof(payload)), 0);
        wire_put_u32(payload, wrong[i].id);
        wire_put_u32(payload + 4, wrong[i].signal);
        wire_put_u32(payload + 8, wrong[i].group);
        assert_false(decode_op_signal(payload, 12));
    }
}

static void started(void **state)
{
    (void)state;
    struct agent_started in = {12345}, out;
    size_t len = agent_started_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_STARTED));
    assert_true(agent_started_decode(payload, len, &out));
    assert_int_equal(out.pid, 12345);
    check_rooms(agent_started_encode, in, len);
    check_lengths(decode_started, len);
}

static void exit_(void **state)
{
    (void)state;
    struct agent_exit in = {255, 0, 1, UINT64_MAX, 3, 4}, out;
    size_t len = agent_exit_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_EXIT));
    assert_true(agent_exit_decode(payload, len, &out));
    assert_int_equal(out.exit, 255);
    assert_int_equal(out.signal, 0);
    assert_true(out.user_us == 1 && out.system_us == UINT64_MAX && out.max_rss_bytes == 3 &&
                out.wall_us == 4);
    check_rooms(agent_exit_encode, in, len);
    check_lengths(decode_exit, len);
    in = (struct agent_exit){.signal = AGENT_SIGNAL_MAX};
    assert_int_equal(agent_exit_encode(&in, payload, sizeof(payload)), len);
    assert_true(decode_exit(payload, len));
    static const struct agent_exit wrong[] = {
        {.exit = 256}, {.exit = UINT32_MAX}, {.exit = 1, .signal = 9}, {.signal = 65}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(agent_exit_encode(&wrong[i], payload, sizeof(payload)), 0);
        wire_put_u32(payload, wrong[i].exit);
        wire_put_u32(payload + 4, wrong[i].signal);
        assert_false(decode_exit(payload, len));
    }
}

static void failed(void **state)
{
    (void)state;
    struct agent_failed in = {AGENT_STAGE_EXEC, 2}, out;
    size_t len = agent_failed_encode(&in, payload, sizeof(payload));
    assert_true((int64_t)len <= frame_max_len(FRAME_AGENT_FAILED));
    assert_true(agent_failed_decode(payload, len, &out));
    assert_int_equal(out.stage, AGENT_STAGE_EXEC);
    assert_int_equal(out.sys_errno, 2);
    check_rooms(agent_failed_encode, in, len);
    check_lengths(decode_failed, len);
}

static void every_stage_has_its_words(void **state)
{
    (void)state;
    for (uint32_t stage = 1; stage < AGENT_STAGE_COUNT; stage++) {
        assert_string_not_equal(agent_stage_text(stage), agent_stage_text(0));
        for (uint32_t other = 1; other < stage; other++)
            assert_string_not_equal(agent_stage_text(stage), agent_stage_text(other));
    }
    assert_string_equal(agent_stage_text(AGENT_STAGE_COUNT), agent_stage_text(0));
    assert_string_equal(agent_stage_text(UINT32_MAX), agent_stage_text(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello),
        cmocka_unit_test(open_),
        cmocka_unit_test(open_with_a_bound),
        cmocka_unit_test(file),
        cmocka_unit_test(file_bounds),
        cmocka_unit_test(exec),
        cmocka_unit_test(exec_bounds),
        cmocka_unit_test(signal_),
        cmocka_unit_test(op_signal),
        cmocka_unit_test(started),
        cmocka_unit_test(exit_),
        cmocka_unit_test(failed),
        cmocka_unit_test(every_stage_has_its_words),
    };
    return cmocka_run_group_tests_name("agent_wire", tests, NULL, NULL);
}
