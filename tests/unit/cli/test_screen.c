#include "../../../src/cli/screen.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <stdlib.h>

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
};

static int set_up(void **data)
{
    static struct rig rig;
    memset(&rig, 0, sizeof(rig));
    scratch_make(rig.folder);
    snprintf(rig.shown, sizeof(rig.shown), "%s", scratch_path(rig.folder, "shown"));
    screen_init(&rig.screen, open(rig.shown, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
    rig.screen.clock = &fake_clock;
    fake_now = US_PER_SEC;
    *data = &rig;
    return 0;
}

static int tear_down(void **data)
{
    struct rig *rig = *data;
    close(rig->screen.fd);
    scratch_remove(rig->folder);
    return 0;
}

static void a_file_gets_plain_lines(void **data)
{
    struct rig *rig = *data;
    struct screen *screen = &rig->screen;
    assert_false(screen->terminal);
    screen_begin(screen, "template", "starting");
    screen_step(screen, 10, "unpacking one");
    screen_step(screen, 11, "unpacking two"); /* more of the same, too soon */
    screen_tick(screen);
    fake_now += 5 * US_PER_SEC;
    screen_step(screen, 12, "unpacking three");
    screen_step(screen, 40, "setting up one");
    screen_done(screen, "made in %d s", 5);
    screen_begin(screen, "hello", "");
    screen_failed(screen, "nobody\nthere");
    screen_say(screen, "%s", "words");
    screen_fact(screen, "URL", "http://x");
    assert_string_equal(scratch_read(rig->shown), "template: starting (0.0 s)\n"
                                                  "template: unpacking one (10 %, 0.0 s)\n"
                                                  "template: unpacking three (12 %, 5.0 s)\n"
                                                  "template: setting up one (40 %, 5.0 s)\n"
                                                  "template: made in 5 s\n"
                                                  "hello: failed: nobody?there\n"
                                                  "words\n"
                                                  "  URL        http://x\n");
}

static void a_terminal_is_redrawn(void **data)
{
    struct rig *rig = *data;
    struct screen *screen = &rig->screen;
    screen->terminal = true;
    screen->look.utf8 = true;
    screen_begin(screen, "oven", "cooking");
    screen_event(screen, SCREEN_BAD, "the %s died", "worker");
    screen_done(screen, "%d runners", 3);
    screen_event(screen, SCREEN_NOTE, "later");
    const char *shown = scratch_read(rig->shown);
    /* the step, the event in its place, the step again, the end in its place */
    assert_contains(shown, "\r\x1b[K  ⠋ oven       0.0 s     cooking\r\x1b[K  ");
    assert_contains(shown, "  the worker died\n\r\x1b[K  ⠋ oven       0.0 s     cooking");
    assert_contains(shown, "cooking\r\x1b[K  ✓ oven       3 runners\n  ");
    assert_contains(shown, "  later\n");
    assert_string_equal(shown + strlen(shown) - 6, "later\n");
}

static void what_it_can_do_is_asked(void **data)
{
    (void)data;
    int main_end, terminal;
    struct screen screen;
    assert_int_equal(openpty(&main_end, &terminal, NULL, NULL, NULL), 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    screen_init(&screen, terminal);
    assert_true(screen.terminal && screen.look.colour);
    setenv("NO_COLOR", "1", 1);
    screen_init(&screen, terminal);
    assert_true(screen.terminal && !screen.look.colour);
    setenv("TERM", "dumb", 1);
    screen_init(&screen, terminal);
    assert_false(screen.terminal);
    close(main_end);
    close(terminal);
}

static void one_that_is_gone_does_no_harm(void **data)
{
    (void)data;
    struct screen screen;
    screen_init(&screen, -1);
    screen_begin(&screen, "oven", "cooking");
    screen_event(&screen, SCREEN_GOOD, "event");
    screen_done(&screen, "done");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_file_gets_plain_lines),
        CASE(a_terminal_is_redrawn),
        cmocka_unit_test(what_it_can_do_is_asked),
        cmocka_unit_test(one_that_is_gone_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
