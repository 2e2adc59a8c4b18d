#include "../../../src/common/config.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <stdlib.h>

static struct config config;
static struct err err;
static char folder[PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    config_defaults(&config);
    scratch_make(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static void accept(const char *text)
{
    config_defaults(&config);
    if (config_parse(&config, text, "f.conf", &err) != 0)
        fail_msg("\"%s\": %s", text, err.msg);
}

static void refuse(const char *text, const char *words)
{
    config_defaults(&config);
    err = (struct err){0};
    if (config_parse(&config, text, "f.conf", &err) != -1)
        fail_msg("\"%s\" was let in", text);
    assert_contains(err.msg, words);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
}

static void set(const char *assignment)
{
    if (config_set(&config, assignment, &err) != 0)
        fail_msg("%s: %s", assignment, err.msg);
}

static void set_fails(const char *assignment, const char *words)
{
    struct config before = config;
    assert_fails(config_set(&config, assignment, &err), err, ERR_BAD_REQUEST, words);
    assert_memory_equal(&before, &config, sizeof(config)); /* nothing was changed */
}

static void defaults_go_together(void **state)
{
    (void)state;
    assert_ok(config_check(&config, &err), err);
    assert_string_equal(config.http_listen, "127.0.0.1:8080");
    assert_true(config.http_body_max == 4 << 20);
    assert_true(config.run_time == 60000);
    assert_true(config.oven_mem_target == 40);
    assert_int_equal(config_log_level(&config), LOG_INFO);
    assert_string_equal(config.paths_agent, "");
}

static void values_of_every_type(void **state)
{
    (void)state;
    accept("[http]\nlisten = [::1]:80\nbody_max = 2K\n"
           "[oven]\nmin_available=3\nmem_target = 50%\ncook_timeout = 5m\ntemplate = alpine-3\n"
           "[paths]\nstate_dir = /srv/code land\n[log]\nlevel = debug\n");
    assert_string_equal(config.http_listen, "[::1]:80");
    assert_true(config.http_body_max == 2048);
    assert_true(config.oven_min_available == 3);
    assert_true(config.oven_mem_target == 50);
    assert_true(config.oven_cook_timeout == 300000);
    assert_string_equal(config.oven_template, "alpine-3");
    assert_string_equal(config.paths_state_dir, "/srv/code land");
    assert_int_equal(config_log_level(&config), LOG_DEBUG);
    assert_string_equal(config.http_user, "codeland"); /* what was not named keeps its default */
}

static void units(void **state)
{
    (void)state;
    static const struct {
        const char *assignment;
        int64_t value;
    } bytes[] = {{"run.memory_max=4194304", 4194304},
                 {"run.memory_max=4096K", 4194304},
                 {"run.memory_max=512M", 536870912},
                 {"run.memory_max=1024G", 1099511627776},
                 {"run.memory_max=0004M", 4194304}},
      times[] = {{"run.time_max=1ms", 1},
                 {"run.time_max=2s", 2000},
                 {"run.time_max=3m", 180000},
                 {"run.time_max=24h", 86400000}};
    for (size_t i = 0; i < 5; i++) {
        set(bytes[i].assignment);
        assert_true(config.run_memory_max == bytes[i].value);
    }
    for (size_t i = 0; i < 4; i++) {
        set(times[i].assignment);
        assert_true(config.run_time_max == times[i].value);
    }
    set("run.cpus=250%");
    assert_true(config.run_cpus == 250);
    set("run.cpus=250");
    assert_true(config.run_cpus == 250);
}

static void bad_numbers(void **state)
{
    (void)state;
    static const char *const bytes[] = {"",    "M",   "4m",   "4 M",  "4MB",
                                        "-4M", "+4M", "4.5M", "0x4M", "4MM",
                                        "4T",  "M4",  "1e9",  "4M ",  "99999999999999999999",
                                        "four"};
    char assignment[100];
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        snprintf(assignment, sizeof(assignment), "run.memory_max=%s", bytes[i]);
        set_fails(assignment, "run.memory_max: \"");
        assert_contains(err.msg, "is not bytes: a number and nothing, K, M or G");
    }
    /* times a unit past 64 bits, where it would wrap round to something in bounds */
    set_fails("run.memory_max=9223372036854775807G", "is not bytes");
    set_fails("run.memory_max=17179869184G", "is not bytes"); /* 2^64 exactly */
    set_fails("run.memory_max=17179869188G", "is not bytes"); /* 2^64 + 4 GiB */
    set_fails("run.time_max=5124095576031h", "is not a time");
    set_fails("run.time=60", "is not a time: a number and ms, s, m or h");
    set_fails("run.time=1.5s", "is not a time");
    set_fails("run.time=s", "is not a time");
    set_fails("run.cpus=50 %", "is not a percentage");
    set_fails("run.cpus=%", "is not a percentage");
    set_fails("oven.max_runners=5x", "is not a whole number");
    set_fails("oven.max_runners=", "is not a whole number");
    set_fails("oven.max_runners=9223372036854775808", "is not a whole number");
}

static void bounds_are_met_and_named(void **state)
{
    (void)state;
    set("run.time_max=1ms");
    set_fails("run.time_max=0ms", "run.time_max: 0 is out of bounds, must be 1..86400000 ms");
    set("run.time_max=86400000ms");
    set_fails("run.time_max=86400001ms", "86400001 is out of bounds");
    set("http.body_max=1024");
    set_fails("http.body_max=1023", "http.body_max: 1023 is out of bounds, must be 1024..67108864 "
                                    "bytes");
    set("http.body_max=64M");
    set_fails("http.body_max=67108865", "out of bounds");
    set("oven.cook_parallel=1");
    set("oven.cook_parallel=64");
    set_fails("oven.cook_parallel=0", "oven.cook_parallel: 0 is out of bounds, must be 1..64");
    set_fails("oven.cook_parallel=65", "out of bounds");
    set_fails("oven.cook_parallel=-1", "out of bounds");
    set("oven.mem_target=0");
    set("oven.mem_target=100%");
    set_fails("oven.mem_target=101", "oven.mem_target: 101 is out of bounds, must be 0..100 %");
}

static void texts(void **state)
{
    (void)state;
    char assignment[400] = "paths.state_dir=/";
    for (size_t i = 1; i < 200; i++)
        strcat(assignment, "x");
    set(assignment);
    assert_int_equal(strlen(config.paths_state_dir), 200);
    strcat(assignment, "x");
    set_fails(assignment, "paths.state_dir: 201 characters, must be 1..200");
    set_fails("paths.state_dir=", "paths.state_dir: 0 characters, must be 1..200");
    set_fails("paths.state_dir=var/lib", "\"var/lib\" is not an absolute path");
    set("paths.agent=");
    set("paths.agent=/usr/x");
    set_fails("paths.agent=x", "not an absolute path");
    set_fails("http.user=a\nb", "http.user: control characters");
    set_fails("http.user=a\x7F", "http.user: control characters");
    set("http.user=a=b.c"); /* the first = ends the key */
    assert_string_equal(config.http_user, "a=b.c");
    set("oven.template=a");
    set_fails("oven.template=Base", "\"Base\" is not a name");
    set_fails("oven.template=../x", "is not a name");
    set_fails("oven.template=", "0 characters");
    set_fails("oven.template=abcdefghijklmnopqrstuvwxyz-0123456789-abcd", "42 characters");
    set_fails("worker.prefix=abcdefghijklmnopqrstu", "21 characters, must be 1..20");
}

static void set_wants_section_key_value(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "http", "http.listen", "httplisten=x", "=", "http=listen.x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        set_fails(bad[i], "is not section.key=value");
    set_fails("nope.key=1", "unknown section [nope]");
    set_fails("http.nope=1", "unknown key \"nope\" in section [http]");
    set_fails(".listen=1", "stands before any [section]");
    set_fails("http.=1", "unknown key \"\"");
    set_fails("http.listen =x:1", "unknown key \"listen \"");
    char far[1000];
    memset(far, 'x', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    far[500] = '.';
    far[600] = '=';
    set_fails(far, "is not section.key=value");
}

static void order_of_sets_does_not_matter(void **state)
{
    (void)state;
    set("oven.max_runners=5");
    assert_fails(config_check(&config, &err), err, ERR_BAD_REQUEST, "oven.min_available (10)");
    set("oven.min_available=5");
    assert_ok(config_check(&config, &err), err);
}

static void what_does_not_go_together(void **state)
{
    (void)state;
    refuse("[oven]\nmin_available = 65\n",
           "f.conf: oven.min_available (65) is more than oven.max_runners (64)");
    refuse("[oven]\nmem_target = 91\n", "oven.mem_target (91) is more than oven.mem_ceiling (90)");
    refuse("[run]\ntime = 11m\n", "run.time (660000ms) is more than run.time_max (600000ms)");
    refuse("[run]\nmemory = 3G\n", "run.memory (3221225472) is more than run.memory_max");
    refuse("[log]\nlevel = loud\n", "log.level: \"loud\" is not debug, info, warn or error");
    refuse("[worker]\nid_base = 4000000000\n[oven]\nmax_runners = 10000\n", "ask for ids above");
    /* the last id may be 4294967294: (uid_t)-1 is nobody's */
    accept("[worker]\nid_base = 3994967295\nid_count = 50000\n[oven]\nmax_runners = 6000\n");
    refuse("[worker]\nid_base = 3994967296\nid_count = 50000\n[oven]\nmax_runners = 6000\n",
           "ask for ids above 4294967295");
}

static void unknown_things_are_named_with_their_line(void **state)
{
    (void)state;
    refuse("[http]\nlisten = a:1\nlisten2 = x\n",
           "f.conf:3: unknown key \"listen2\" in section [http]");
    refuse("\n\n[htp]\nlisten = x\n", "f.conf:4: unknown section [htp]");
    refuse("listen = x\n", "f.conf:1: \"listen\" stands before any [section]");
    refuse("[http]\nrubbish\n", "f.conf:2: neither a [section], a key = value nor a comment");
    refuse("[http\nlisten = x:1\n", "f.conf:1: neither");
    refuse("[http]\n= x\n", "f.conf:2: unknown key \"\"");
    refuse("[http]\nbody_max = 1\n", "f.conf:2: http.body_max: 1 is out of bounds");
    /* the first wrong line is the one that is told */
    refuse("[http]\nrubbish\nbody_max = 1\n", "f.conf:2: neither");
    refuse("[http]\nbody_max = 1\nrubbish\n", "f.conf:2: http.body_max");
}

static void same_key_twice(void **state)
{
    (void)state;
    refuse("[http]\nlisten = a:1\n[run]\n[http]\nlisten = b:2\n",
           "f.conf:5: http.listen was set in line 2 already");
    accept("[http]\nlisten = a:1\n[run]\ntime = 1s\n[http]\nuser = x\n"); /* a section may be */
    config_defaults(&config);
    assert_ok(config_parse(&config, "[run]\ntime = 1s\n", "one", &err), err);
    assert_ok(config_parse(&config, "[run]\ntime = 2s\n", "two", &err), err); /* another file */
    assert_true(config.run_time == 2000);
}

static void layout_is_free(void **state)
{
    (void)state;
    accept("");
    accept("\n\n");
    accept("# a\n; b\n   # c\n[http]\t\r\nlisten=a:1\r\n\tuser =  b c  \n");
    assert_string_equal(config.http_listen, "a:1");
    assert_string_equal(config.http_user, "b c");
    accept("[http]\nlisten : a:1"); /* a colon, and no newline at the end */
    assert_string_equal(config.http_listen, "a:1");
    accept("[http] # comment\nlisten = a:1 ; comment\nuser = x;y\n");
    assert_string_equal(config.http_listen, "a:1");
    assert_string_equal(config.http_user, "x;y");
    accept("[http] ;comment\n[run]   \n");
}

/* inih alone takes an indented line for more of the value before it. */
static void indented_key_is_a_key(void **state)
{
    (void)state;
    accept("[http]\n  listen = a:1\n  user = u\n");
    assert_string_equal(config.http_listen, "a:1");
    assert_string_equal(config.http_user, "u");
    refuse("[http]\nlisten = a:1\n  b:2,c\n", "f.conf:3: unknown key \"b\"");
    refuse("[http]\nlisten = a:1\n  more\n", "f.conf:3: neither");
}

/* And it drops what follows the bracket. */
static void nothing_hides_behind_a_section(void **state)
{
    (void)state;
    refuse("[http] listen = x:1\n", "f.conf:1: something stands after the section's ]");
    refuse("[http]]\n", "f.conf:1: something stands after");
    refuse("   [http]x\n", "f.conf:1: something stands after");
    refuse("\xEF\xBB\xBF[http]x\n", "f.conf:1: something stands after");
}

/* It cuts a line at 200 bytes and reads on in the middle, as if a new line began there. */
static void long_lines(void **state)
{
    (void)state;
    static char text[3000];
    char value[201];
    memset(value, 'x', 200);
    value[0] = '/';
    value[200] = '\0';
    snprintf(text, sizeof(text), "[paths]\n%40sstate_dir%40s=%40s%s\n[http]\nuser = u\n", "", "",
             "", value);
    accept(text);
    assert_string_equal(config.paths_state_dir, value);
    assert_string_equal(config.http_user, "u");

    memset(text, 0, sizeof(text));
    strcpy(text, "# ");
    memset(text + 2, 'c', 998); /* 1000 in all */
    strcat(text, "\n[http]\nuser = u\n");
    accept(text);
    assert_string_equal(config.http_user, "u");
    memmove(text + 3, text + 2, strlen(text + 2) + 1);
    refuse(text, "f.conf:1: the line is longer than 1000 bytes");

    strcpy(text, "[http]\nuser = u");
    memset(text + 15, ' ', 1500); /* what would be cut away is not all of it */
    strcpy(text + 1515, "v\n");
    refuse(text, "f.conf:2: the line is longer than 1000 bytes");
}

static void byte_order_mark(void **state)
{
    (void)state;
    accept("\xEF\xBB\xBF[http]\nlisten = a:1\n");
    assert_string_equal(config.http_listen, "a:1");
    accept("\xEF\xBB\xBF");
    accept("\xEF\xBB\xBF# comment\n");
    refuse("[http]\n\xEF\xBB\xBFlisten = a:1\n", "f.conf:2: unknown key");
    refuse("\xFF\xFE[\0h", "f.conf:1: neither"); /* UTF-16 */
}

static void files(void **state)
{
    (void)state;
    const char *path = scratch_path(folder, "codeland.conf");
    assert_ok(config_read(&config, path, true, &err), err);
    assert_fails(config_read(&config, path, false, &err), err, ERR_BAD_REQUEST,
                 "codeland.conf: No such file");
    assert_fails(config_read(&config, folder, true, &err), err, ERR_BAD_REQUEST, "Is a directory");
    assert_fails(config_read(&config, scratch_path(path, "x"), false, &err), err, ERR_BAD_REQUEST,
                 "No such file");
    scratch_write(path, "[http]\nlisten = b:2\n");
    assert_ok(config_read(&config, path, false, &err), err);
    assert_string_equal(config.http_listen, "b:2");
    scratch_write(path, "[http]\nnope = 1\n");
    assert_fails(config_read(&config, path, true, &err), err, ERR_BAD_REQUEST,
                 "codeland.conf:2: unknown key");
    struct err ignored;
    assert_int_equal(fd_replace_file(path, "[http]\n\nuser = u\0\n", 18, 0644, false, &ignored), 0);
    assert_fails(config_read(&config, path, true, &err), err, ERR_BAD_REQUEST,
                 "codeland.conf:3: there is a NUL byte");
    static char much[300000];
    memset(much, '\n', sizeof(much) - 1);
    scratch_write(path, much);
    assert_fails(config_read(&config, path, true, &err), err, ERR_BAD_REQUEST, "File too large");
    much[256 * 1024] = '\0';
    scratch_write(path, much);
    assert_ok(config_read(&config, path, true, &err), err);
}

/* What print writes, through a file. */
static const char *printed(void (*print)(void))
{
    const char *path = scratch_path(folder, "printed");
    fflush(stdout);
    int real = dup(STDOUT_FILENO);
    FILE *out = fopen(path, "w");
    dup2(fileno(out), STDOUT_FILENO);
    print();
    fflush(stdout);
    dup2(real, STDOUT_FILENO);
    close(real);
    fclose(out);
    return scratch_read(path);
}

static void example_is_a_file_with_the_defaults(void **state)
{
    (void)state;
    char *text = strdup(printed(config_print_example));
    accept(text);
    /* with every setting set: the same values, and each of them known */
    for (char *at = text; (at = strstr(at, "\n; "));)
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    struct config defaults;
    config_defaults(&defaults);
    accept(text);
    assert_memory_equal(&defaults, &config, sizeof(config));
    size_t rows = 0;
#define SETTING(section, key, type, unit, least, most, value, help)                                \
    assert_contains(text, "\n" #key " = " value "\n");                                             \
    rows++;
#include "../../../src/common/config.def"
#undef SETTING
    assert_true(rows > 30);
    free(text);
}

static void markdown_has_every_row(void **state)
{
    (void)state;
    const char *text = printed(config_print_markdown);
#define SETTING(section, key, type, unit, least, most, value, help)                                \
    assert_contains(text, "| " #section " | `" #key "` |");                                        \
    assert_contains(text, help);
#include "../../../src/common/config.def"
#undef SETTING
}

static void levels(void **state)
{
    (void)state;
    static const char *const names[] = {"log.level=debug", "log.level=info", "log.level=warn",
                                        "log.level=error"};
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        set(names[level]);
        assert_ok(config_check(&config, &err), err);
        assert_int_equal(config_log_level(&config), level);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(defaults_go_together),
        TEST(values_of_every_type),
        TEST(units),
        TEST(bad_numbers),
        TEST(bounds_are_met_and_named),
        TEST(texts),
        TEST(set_wants_section_key_value),
        TEST(order_of_sets_does_not_matter),
        TEST(what_does_not_go_together),
        TEST(unknown_things_are_named_with_their_line),
        TEST(same_key_twice),
        TEST(layout_is_free),
        TEST(indented_key_is_a_key),
        TEST(nothing_hides_behind_a_section),
        TEST(long_lines),
        TEST(byte_order_mark),
        TEST(files),
        TEST(example_is_a_file_with_the_defaults),
        TEST(markdown_has_every_row),
        TEST(levels),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
