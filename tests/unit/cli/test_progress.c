#include "../../../src/cli/progress.h"

#include "../../support/cm.h"

static const char *render(int percent, const char *detail, mono_us elapsed_us, bool utf8,
                          bool colour, unsigned width)
{
    static char text[PROGRESS_LINE_MAX];
    const struct progress progress = {
        .label = "template", .detail = detail, .percent = percent, .elapsed_us = elapsed_us};
    const struct progress_look look = {.utf8 = utf8, .colour = colour, .width = width};
    progress_render(text, sizeof(text), &progress, &look);
    return text;
}

static unsigned columns(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void durations_read_well(void **data)
{
    (void)data;
    static const struct {
        mono_us us;
        const char *text;
    } cases[] = {
        {0, "0.0 s"},
        {440 * US_PER_MS, "0.4 s"},
        {9900 * US_PER_MS, "9.9 s"},
        {10 * US_PER_SEC, "10 s"},
        {59 * US_PER_SEC, "59 s"},
        {60 * US_PER_SEC, "1:00 min"},
        {(mono_us)3725 * US_PER_SEC, "62:05 min"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[24];
        progress_duration(text, sizeof(text), cases[i].us);
        assert_string_equal(text, cases[i].text);
    }
}

static void ascii_line_in_full(void **data)
{
    (void)data;
    assert_string_equal(
        render(50, "unpacking perl", 12 * US_PER_SEC, false, false, 100),
        "  - template   [############------------]  50 %  12 s      unpacking perl");
}

static void utf8_line_in_full(void **data)
{
    (void)data;
    assert_string_equal(render(25, "x", 1200 * US_PER_MS, true, false, 100),
                        "  ⠹ template   ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  25 %  1.2 s     x");
}

static void colours_are_closed(void **data)
{
    (void)data;
    const char *text = render(25, "x", 0, true, true, 100);
    size_t len = strlen(text);
    assert_contains(text, "\x1b[36m");
    assert_string_equal(text + len - 4, "\x1b[0m");
}

static void no_bar_without_a_percentage(void **data)
{
    (void)data;
    assert_string_equal(render(PROGRESS_UNKNOWN, "cooking", 0, false, false, 100),
                        "  - template   0.0 s     cooking");
}

static void percentages_are_clamped(void **data)
{
    (void)data;
    assert_contains(render(1000, "", 0, false, false, 100), "[########################] 100 %");
    assert_contains(render(-5, "", 0, false, false, 100), "[------------------------]   0 %");
}

/* The last column stays free: a terminal would wrap there, and the redraw would scroll. */
static void it_fits_every_width(void **data)
{
    (void)data;
    static const char detail[] = "unpacking a-package-with-quite-a-long-name and ümläute tøø";
    for (unsigned width = 20; width < 200; width++)
        for (int utf8 = 0; utf8 < 2; utf8++)
            for (int percent = PROGRESS_UNKNOWN; percent <= 100; percent += 101)
                assert_true(columns(render(percent, detail, 100 * (mono_us)US_PER_SEC, utf8, false,
                                           width)) < width);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_well),         cmocka_unit_test(ascii_line_in_full),
        cmocka_unit_test(utf8_line_in_full),           cmocka_unit_test(colours_are_closed),
        cmocka_unit_test(no_bar_without_a_percentage), cmocka_unit_test(percentages_are_clamped),
        cmocka_unit_test(it_fits_every_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
