#include "session.h"

#include "../../../src/agent/files.h"
#include "../../support/cm.h"

#include <errno.h>
#include <stdlib.h>

static void write_file(struct cell *cell, const struct agent_file *file, const char *text)
{
    struct session session;
    struct outcome outcome;
    session_begin(cell, &session);
    session_file(&session, file, text);
    session_sh(&session, file->flags, "true");
    session_finish(&session, &outcome);
    if (outcome.failed)
        fail_msg("%s: %s", file->name, strerror((int)outcome.failure.sys_errno));
    outcome_free(&outcome);
}

static void expect_failure(struct cell *cell, const char *folder, const char *name, int sys_errno)
{
    struct session session;
    session_begin(cell, &session);
    session_file(&session, &(struct agent_file){.mode = 0644, .folder = folder, .name = name},
                 NULL);
    session_sh(&session, 0, "true");
    session_expect_failure(&session, AGENT_STAGE_FILE, sys_errno);
}

static void test_files_before_the_program(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    session_begin(cell, &session);
    session_file(&session, &(struct agent_file){.mode = 0644, .folder = "", .name = "main.sh"},
                 "cat data/deep/input; ");
    session_frame(&session, FRAME_FILE_DATA, NULL, 0);
    session_frame(&session, FRAME_FILE_DATA, "stat -c '%a %u %g %s' ", 22);
    session_frame(&session, FRAME_FILE_DATA, "main.sh empty data data/deep/input", 34);
    session_file(&session, &(struct agent_file){.mode = 0, .folder = "", .name = "empty"}, NULL);
    session_file(
        &session,
        &(struct agent_file){.mode = 0600, .folder = "/home/runner", .name = "data//deep/input"},
        "input\n");
    session_sh(&session, 0, ". ./main.sh");
    session_finish(&session, &outcome);
    assert_string_equal(outcome.err, "");
    assert_string_equal(outcome.out, "input\n644 1000 1000 77\n0 1000 1000 0\n755 1000 1000 60\n"
                                     "600 1000 1000 6\n");
    outcome_free(&outcome);
}

static void test_script_that_was_just_written(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    session_begin(cell, &session);
    session_file(&session, &(struct agent_file){.mode = 0755, .folder = "", .name = "tool"},
                 "#!/bin/sh\necho fresh\n");
    session_exec(&session, &(struct agent_exec){.cwd = "", .argc = 1, .argv = {"./tool"}});
    session_finish(&session, &outcome);
    assert_false(outcome.failed); /* ETXTBSY while it is open for writing */
    assert_string_equal(outcome.out, "fresh\n");
    outcome_free(&outcome);
}

static void test_existing_file_is_replaced(void **state)
{
    struct cell *cell = *state;
    const struct agent_file file = {.mode = 0640, .folder = "", .name = "f"};
    session_expect(cell, 0, "echo much longer than that >f; chmod 600 f", "");
    write_file(cell, &file, "short\n");
    session_expect(cell, 0, "cat f; stat -c %a f", "short\n640\n");
}

static void test_as_root(void **state)
{
    struct cell *cell = *state;
    write_file(
        cell,
        &(struct agent_file){.flags = AGENT_EXEC_ROOT, .mode = 0600, .folder = "", .name = "f"},
        "x");
    session_expect(cell, AGENT_EXEC_ROOT, "stat -c '%n %u %a' /root/f", "/root/f 0 600\n");
    expect_failure(cell, "/root", "g", EACCES); /* the runner's user may not */
    expect_failure(cell, "/home", "g", EACCES);
}

static void test_links_are_refused(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, AGENT_EXEC_ROOT,
                   "mkdir -m 777 /home/other; echo mine >/home/other/f; "
                   "chmod 666 /home/other/f",
                   "");
    session_expect(cell, 0,
                   "ln -s /home/other/f link; ln -s /home/other out; ln -s none dangling; "
                   "mkdir in; ln -s in inner; ln -s / slash; ln -s /proc/self/fd magic",
                   "");
    expect_failure(cell, "", "link", ELOOP);
    expect_failure(cell, "", "out/f", ELOOP);
    expect_failure(cell, "", "out/new/f", ELOOP);
    expect_failure(cell, "", "dangling", ELOOP);
    expect_failure(cell, "", "inner/f", ELOOP);
    expect_failure(cell, "", "slash/home/other/f", ELOOP);
    expect_failure(cell, "", "magic/3", ELOOP);
    session_expect(cell, 0, "cat /home/other/f; ls /home/other", "mine\nf\n");
}

static void test_names_are_checked(void **state)
{
    struct cell *cell = *state;
    static const char *const bad[] = {"",     "/etc/f", "..",  "../f", "a/../f",
                                      "a/..", ".",      "./f", "a/",   "/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_failure(cell, "", bad[i], EINVAL);
    char name[300];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    expect_failure(cell, "", name, ENAMETOOLONG);
    memcpy(name + 297, "/f", 3);
    expect_failure(cell, "", name, ENAMETOOLONG);
    write_file(cell, &(struct agent_file){.mode = 0644, .folder = "", .name = "..a/b..c/d e\n"},
               "x");
}

static void test_folders_are_checked(void **state)
{
    struct cell *cell = *state;
    expect_failure(cell, "home/runner", "f", EINVAL);
    expect_failure(cell, "/home/runner/none", "f", ENOENT);
    session_expect(cell, 0, "echo >file", "");
    expect_failure(cell, "/home/runner/file", "f", ENOTDIR);
    expect_failure(cell, "", "file/f", ENOTDIR);
    /* What the agent has open is not the user's. */
    expect_failure(cell, "/proc/self/cwd", "f", ELOOP);
    expect_failure(cell, "/proc/self/fd/3", "f", ELOOP);
}

static void test_only_regular_files(void **state)
{
    struct cell *cell = *state;
    session_expect(cell, 0, "mkfifo fifo; mkdir folder; mkfifo read; sleep 1000 <>read >&- 2>&- &",
                   "");
    expect_failure(cell, "", "fifo", ENXIO); /* and does not wait for a reader */
    expect_failure(cell, "", "read", EINVAL);
    expect_failure(cell, "", "folder", EISDIR);
    session_expect(cell, 0, "kill -9 -1", "");
}

static void test_full_disk(void **state)
{
    struct cell cell;
    struct session session;
    static const char block[FRAME_DATA_MAX];
    (void)state;
    cell_start(&cell, 1 << 20);
    session_begin(&cell, &session);
    session_file(&session, &(struct agent_file){.mode = 0644, .folder = "", .name = "big"}, NULL);
    for (int i = 0; i < 32; i++)
        session_frame(&session, FRAME_FILE_DATA, block, sizeof(block));
    session_sh(&session, 0, "true");
    session_expect_failure(&session, AGENT_STAGE_FILE, ENOSPC);
    session_expect(&cell, 0, "rm big; echo room >small; cat small", "room\n");
    cell_stop(&cell);
}

static void begin_with_trace(struct cell *cell, struct session *session)
{
    session_begin(cell, session);
    session_file(
        session,
        &(struct agent_file){.mode = 0644, .unlink_after = 1, .folder = "", .name = "folder/trace"},
        "here\n");
}

static void test_removed_when_it_is_over(void **state)
{
    struct cell *cell = *state;
    struct session session;
    struct outcome outcome;
    begin_with_trace(cell, &session);
    session_sh(&session, 0, "cat folder/trace");
    session_finish(&session, &outcome);
    assert_string_equal(outcome.out, "here\n");
    outcome_free(&outcome);
    session_expect(cell, 0, "ls folder", "");

    begin_with_trace(cell, &session); /* the program did it itself */
    session_sh(&session, 0, "rm -r folder; ln -s /etc folder");
    session_finish(&session, &outcome);
    assert_int_equal(outcome.exit.exit, 0);
    outcome_free(&outcome);
    session_expect(cell, 0, "rm folder", "");

    begin_with_trace(cell, &session); /* a failure */
    session_exec(&session, &(struct agent_exec){.cwd = "", .argc = 1, .argv = {"/none"}});
    session_expect_failure(&session, AGENT_STAGE_EXEC, ENOENT);
    session_expect(cell, 0, "ls folder", "");

    begin_with_trace(cell, &session); /* abandoned */
    session_sh(&session, 0, "exec sleep 1000");
    session_started(&session);
    session_end(&session);
    cell_wait(cell_processes(cell, NULL) == 0);
    session_expect(cell, 0, "ls folder", "");
}

static void test_many_to_remove(void **state)
{
    struct cell *cell = *state;
    struct session session;
    char name[16];
    session_begin(cell, &session);
    for (int i = 0; i <= FILES_UNLINK_MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        session_file(
            &session,
            &(struct agent_file){.mode = 0644, .unlink_after = 1, .folder = "", .name = name},
            NULL);
    }
    session_expect_failure(&session, AGENT_STAGE_FILE, E2BIG);
    session_expect(cell, 0, "ls", "");
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        CELL_TEST(test_files_before_the_program),
        CELL_TEST(test_script_that_was_just_written),
        CELL_TEST(test_existing_file_is_replaced),
        CELL_TEST(test_as_root),
        CELL_TEST(test_links_are_refused),
        CELL_TEST(test_names_are_checked),
        CELL_TEST(test_folders_are_checked),
        CELL_TEST(test_only_regular_files),
        cmocka_unit_test(test_full_disk),
        CELL_TEST(test_removed_when_it_is_over),
        CELL_TEST(test_many_to_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
