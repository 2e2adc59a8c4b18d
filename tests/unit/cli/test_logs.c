#include "../../../src/cli/logs.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/str.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define WARN "level=warn time=2026-01-31T12:00:00.123Z program=worker "

static void a_line_is_shortened(void **data)
{
    (void)data;
    static const struct {
        const char *line, *text;
        bool matters;
    } cases[] = {
        {WARN "event=stopped", "stopped", true},
        {WARN "event=\"start failed\" runner=cr-1 error=\"no such \\\"x\\\"\"",
         "start failed  runner=cr-1  error=\"no such \\\"x\\\"\"", true},
        {"level=error event=x", "x", true},
        {"level=info time=t program=w event=started version=1", "started  version=1", false},
        {"level=debug event=x", "x", false},
        {"==12==ERROR: AddressSanitizer: heap-use-after-free",
         "==12==ERROR: AddressSanitizer: heap-use-after-free", true},
        {"Assertion failed", "Assertion failed", true},
        {"", "", false},
        {"level=warn event=\"never closed", "never close", true},
        {"level=warn no fields at all", "", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[LOGS_TEXT_MAX];
        assert_int_equal(logs_shorten(cases[i].line, text, sizeof(text)), cases[i].matters);
        assert_string_equal(text, cases[i].text);
    }
}

static void it_fits_any_room(void **data)
{
    (void)data;
    char text[20];
    logs_shorten(WARN "event=abc key=0123456789012345678901234567890", text, sizeof(text));
    assert_string_equal(text, "abc");
    logs_shorten("a line that is longer than this", text, sizeof(text));
    assert_string_equal(text, "a line that is long");
}

/* ---- onto a screen that is a file, as if it were a terminal ---- */

static mono_us fake_now;

static mono_us tell(const struct clock *clock)
{
    (void)clock;
    return fake_now;
}

static const struct clock fake_clock = {.now = tell};

struct rig {
    char folder[PATH_MAX], shown[PATH_MAX];
    struct screen screen;
    struct logs logs;
};

static int set_up(void **data)
{
    static struct rig rig;
    struct err err;
    memset(&rig, 0, sizeof(rig));
    scratch_make(rig.folder);
    str_format(rig.shown, sizeof(rig.shown), "%s/shown", rig.folder);
    rig.screen = (struct screen){
        .fd = open(rig.shown, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600),
        .terminal = true,
        .clock = &fake_clock,
    };
    fake_now = 10 * US_PER_SEC;
    assert_ok(logs_open(&rig.logs, &rig.screen, rig.folder, &err), err);
    *data = &rig;
    return 0;
}

static int tear_down(void **data)
{
    struct rig *rig = *data;
    logs_close(&rig->logs);
    close(rig->screen.fd);
    scratch_remove(rig->folder);
    return 0;
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void all_is_kept_and_what_matters_is_shown(void **data)
{
    struct rig *rig = *data;
    logs_take(&rig->logs, "worker", "level=info program=worker event=started");
    logs_take(&rig->logs, "worker", WARN "event=\"memory is short\" percent=91");
    logs_take(&rig->logs, "manager", "a crash \x1b[31m");
    assert_string_equal(scratch_read(rig->logs.path),
                        "level=info program=worker event=started\n" WARN
                        "event=\"memory is short\" percent=91\na crash \x1b[31m\n");
    const char *shown = scratch_read(rig->shown);
    assert_int_equal(count_of(shown, "\n"), 2);
    assert_contains(shown, "worker: memory is short  percent=91\n");
    assert_contains(shown, "manager: a crash ?[31m\n");
}

static void a_flood_is_counted_not_shown(void **data)
{
    struct rig *rig = *data;
    char words[PATH_MAX + 40];
    for (int i = 0; i < 100; i++)
        logs_take(&rig->logs, "worker", WARN "event=flood");
    assert_int_equal(count_of(scratch_read(rig->shown), "flood"), LOGS_SHOWN_PER_SECOND);
    fake_now += US_PER_SEC;
    logs_take(&rig->logs, "worker", WARN "event=after");
    str_format(words, sizeof(words), "%d more lines in %s\n", 100 - LOGS_SHOWN_PER_SECOND,
               rig->logs.path);
    assert_contains(scratch_read(rig->shown), words);
    assert_contains(scratch_read(rig->shown), "worker: after\n");
}

static void the_file_stays_small(void **data)
{
    struct rig *rig = *data;
    char line[LOGS_TEXT_MAX * 8], old[PATH_MAX + 4];
    struct stat st;
    str_format(old, sizeof(old), "%s.1", rig->logs.path);
    str_format(line, sizeof(line), "level=info event=x text=%2000s", "x");
    for (int i = 0; i < 2 * LOGS_FILE_MAX_BYTES / 2000; i++)
        logs_take(&rig->logs, "worker", line);
    assert_int_equal(stat(old, &st), 0);
    assert_in_range(st.st_size, LOGS_FILE_MAX_BYTES, LOGS_FILE_MAX_BYTES + 4096);
    assert_int_equal(stat(rig->logs.path, &st), 0);
    assert_in_range(st.st_size, 1, LOGS_FILE_MAX_BYTES);
}

static void a_folder_that_cannot_be_is_named(void **data)
{
    struct rig *rig = *data;
    struct logs logs;
    struct err err;
    assert_fails(logs_open(&logs, &rig->screen, "/proc/nowhere", &err), err, ERR_INTERNAL,
                 "/proc/nowhere");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_shortened),
        cmocka_unit_test(it_fits_any_room),
        CASE(all_is_kept_and_what_matters_is_shown),
        CASE(a_flood_is_counted_not_shown),
        CASE(the_file_stays_small),
        CASE(a_folder_that_cannot_be_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
