#include "../../../src/worker/ledger.h"

#include "../../../src/common/fd.h"
#include "../../../src/common/log.h"
#include "../../../src/worker/engine_fake.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_MAX];
static struct engine_fake *fake; /* for its clock */
static struct ledger *ledger;

static void open_it(void)
{
    struct err err;
    ledger = ledger_open(folder, engine_fake_clock(fake), &err);
    if (!ledger)
        fail_msg("%s", err.msg);
}

static void open_again(void)
{
    ledger_close(ledger);
    open_it();
}

static int set_up(void **state)
{
    (void)state;
    log_init("test", LOG_ERROR);
    scratch_make(folder);
    fake = engine_fake_create();
    open_it();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ledger_close(ledger);
    engine_fake_destroy(fake);
    scratch_remove(folder);
    return 0;
}

static void what_has_begun_is_known(void **state)
{
    (void)state;
    assert_true(ledger_start(ledger, 7));
    engine_fake_advance(fake, 5 * US_PER_SEC);
    assert_true(ledger_withdraw(ledger, 7).started);
    struct ledger_word word = ledger_withdraw(ledger, 8);
    assert_false(word.started);
    assert_int_equal(word.covered_us, 5 * US_PER_SEC); /* since it was made */
}

static void what_was_withdrawn_never_begins(void **state)
{
    (void)state;
    assert_false(ledger_withdraw(ledger, 7).started);
    assert_false(ledger_start(ledger, 7));
    assert_true(ledger_start(ledger, 8));
    assert_false(ledger_withdraw(ledger, 7).started);
    assert_true(ledger_withdraw(ledger, 8).started);
}

static void the_next_worker_knows_it(void **state)
{
    struct stat st;
    (void)state;
    assert_true(ledger_start(ledger, 7));
    ledger_withdraw(ledger, 9);
    engine_fake_advance(fake, US_PER_SEC);
    open_again();
    assert_true(ledger_withdraw(ledger, 7).started);
    assert_false(ledger_start(ledger, 9));
    assert_int_equal(ledger_withdraw(ledger, 8).covered_us, US_PER_SEC);
    assert_int_equal(stat(scratch_path(folder, LEDGER_NAME), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

/* Once the oldest are forgotten it says how far back it still knows everything. */
static void it_says_how_far_back_it_knows(void **state)
{
    (void)state;
    for (uint64_t key = 1; key <= LEDGER_STARTED; key++) {
        assert_true(ledger_start(ledger, key));
        engine_fake_advance(fake, 10);
    }
    assert_true(ledger_withdraw(ledger, 1).started);
    assert_true(ledger_start(ledger, LEDGER_STARTED + 1));
    struct ledger_word word = ledger_withdraw(ledger, 1);
    assert_false(word.started); /* forgotten: it began before what is covered */
    assert_int_equal(word.covered_us, (LEDGER_STARTED - 1) * 10);
    assert_true(ledger_withdraw(ledger, 2).started);
}

static void no_more_is_withdrawn_than_is_remembered(void **state)
{
    (void)state;
    engine_fake_advance(fake, US_PER_SEC);
    for (uint64_t key = 1; key <= LEDGER_WITHDRAWN; key++)
        assert_true(ledger_withdraw(ledger, key).covered_us > 0);
    struct ledger_word word = ledger_withdraw(ledger, LEDGER_WITHDRAWN + 1);
    assert_true(!word.started && word.covered_us == 0); /* it may begin */
    assert_true(ledger_start(ledger, LEDGER_WITHDRAWN + 1));
    assert_true(ledger_withdraw(ledger, 5).covered_us > 0); /* has been already */
    assert_false(ledger_start(ledger, 1));
    engine_fake_advance(fake, LEDGER_WITHDRAWN_US);
    assert_true(ledger_withdraw(ledger, LEDGER_WITHDRAWN + 2).covered_us > 0);
    assert_false(ledger_start(ledger, LEDGER_WITHDRAWN + 2));
}

/* Of another boot, cut off, or no ledger at all: it says nothing, and what is covered begins now.
 */
static void a_file_that_cannot_be_trusted(void **state)
{
    (void)state;
    static const struct {
        off_t at; /* of the byte that is changed; below 0: the length it is cut to */
        const char *what;
    } cases[] = {{0, "magic"}, {8, "boot"}, {-100, "short"}, {59, "place"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(ledger_start(ledger, 7));
        engine_fake_advance(fake, US_PER_SEC);
        ledger_close(ledger);
        ledger = NULL;
        const char *path = scratch_path(folder, LEDGER_NAME);
        if (cases[i].at < 0) {
            assert_int_equal(truncate(path, 0), 0);
            assert_int_equal(truncate(path, -cases[i].at), 0);
        } else {
            cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
            assert_int_equal(pwrite(fd, "\xff", 1, cases[i].at), 1);
        }
        open_it();
        struct ledger_word word = ledger_withdraw(ledger, 8);
        if (word.started || word.covered_us != 0)
            fail_msg("%s is trusted", cases[i].what);
        assert_false(ledger_withdraw(ledger, 7).started);
        ledger_close(ledger);
        unlink(path);
        open_it();
    }
}

/* It works, and leaves no file that would claim to know what was noted in memory alone. */
static void where_the_disk_is_full_it_lasts_as_long_as_the_worker(void **state)
{
    struct err err;
    char small[PATH_MAX];
    (void)state;
    scratch_make(small);
    scratch_small(small, 65536);
    scratch_write(scratch_path(small, LEDGER_NAME), "of an earlier worker");
    struct ledger *in_memory = ledger_open(small, engine_fake_clock(fake), &err);
    assert_non_null(in_memory);
    assert_false(scratch_exists(scratch_path(small, LEDGER_NAME)));
    assert_true(ledger_start(in_memory, 7));
    assert_true(ledger_withdraw(in_memory, 7).started);
    assert_false(ledger_withdraw(in_memory, 8).started);
    assert_false(ledger_start(in_memory, 8));
    ledger_close(in_memory);
    scratch_remove(small);
}

int main(void)
{
    scratch_own_mounts();
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(what_has_begun_is_known),
        T(what_was_withdrawn_never_begins),
        T(the_next_worker_knows_it),
        T(it_says_how_far_back_it_knows),
        T(no_more_is_withdrawn_than_is_remembered),
        T(a_file_that_cannot_be_trusted),
        T(where_the_disk_is_full_it_lasts_as_long_as_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
