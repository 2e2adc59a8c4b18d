#include "../../../src/worker/idmap.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BASE 1610612736u
#define COUNT 65536u

static void slots_have_ranges_side_by_side(void **state)
{
    (void)state;
    struct idmap *idmap = idmap_create(BASE, COUNT);
    assert_int_equal(idmap_count(idmap), COUNT);
    for (unsigned slot = 0; slot < 100; slot++) {
        uint32_t first = idmap_first(idmap, slot);
        assert_int_equal(first, BASE + slot * COUNT);
        assert_int_equal(idmap_slot(idmap, first), slot);
        assert_int_equal(idmap_slot(idmap, first + 1), -1); /* only the root of a runner */
        assert_int_equal(idmap_slot(idmap, first + COUNT - 1), -1);
    }
    assert_int_equal(idmap_slot(idmap, 0), -1);
    assert_int_equal(idmap_slot(idmap, BASE - COUNT), -1);
    assert_int_equal(idmap_slot(idmap, 1000), -1);
    idmap_destroy(idmap);
    idmap_destroy(NULL);
}

/* The map of a user namespace, seen from here, of a process that has entered it. */
static void read_map(int userns, const char *which, char *text, size_t room)
{
    int pair[2];
    char path[64], byte;
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setns(userns, CLONE_NEWUSER) != 0 || write(pair[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    close(pair[0]);
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
    ssize_t got = fd_read_file(AT_FDCWD, path, text, room);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(got > 0);
}

static void userns_maps_the_slots_ids(void **state)
{
    struct err err;
    char map[256];
    unsigned inside, outside, count;
    (void)state;
    struct idmap *idmap = idmap_create(BASE, COUNT);
    for (unsigned slot = 0; slot < 3; slot++) {
        int userns = idmap_userns(idmap, slot, &err);
        if (userns < 0)
            fail_msg("this machine cannot make user namespaces: %s", err.msg);
        assert_true(fcntl(userns, F_GETFD) & FD_CLOEXEC);
        static const char *const which[] = {"uid_map", "gid_map"};
        for (int i = 0; i < 2; i++) {
            read_map(userns, which[i], map, sizeof(map));
            assert_int_equal(sscanf(map, "%u %u %u", &inside, &outside, &count), 3);
            assert_int_equal(inside, 0);
            assert_int_equal(outside, idmap_first(idmap, slot));
            assert_int_equal(count, COUNT);
        }
    }
    idmap_destroy(idmap);
}

static ino_t inode_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static void userns_is_made_once_unless_too_many_are_kept(void **state)
{
    struct err err;
    (void)state;
    struct idmap *idmap = idmap_create(BASE, 1000);
    int first = idmap_userns(idmap, 5, &err);
    assert_true(first >= 0);
    ino_t inode = inode_of(first);
    assert_int_equal(idmap_userns(idmap, 5, &err), first);
    assert_int_equal(inode_of(idmap_userns(idmap, 5, &err)), inode);
    int other = idmap_userns(idmap, 5 + IDMAP_KEPT, &err); /* takes its place */
    assert_true(other >= 0);
    assert_int_not_equal(inode_of(other), inode);
    assert_true(idmap_userns(idmap, 5, &err) >= 0);
    idmap_destroy(idmap);
}

static unsigned children(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    const char *text = scratch_read(path);
    return (unsigned)strlen(text);
}

static void nothing_is_left_of_the_making(void **state)
{
    struct err err;
    (void)state;
    struct idmap *idmap = idmap_create(BASE, COUNT);
    assert_true(idmap_userns(idmap, 0, &err) >= 0);
    assert_int_equal(children(), 0);
    idmap_destroy(idmap);
}

static void ids_that_the_host_does_not_have(void **state)
{
    struct err err;
    (void)state;
    struct idmap *idmap = idmap_create(UINT32_MAX - 3 * COUNT, COUNT);
    assert_true(idmap_userns(idmap, 2, &err) >= 0);
    assert_int_equal(idmap_userns(idmap, 3, &err), -1);
    assert_contains(err.msg, "slot 3 has no ids: worker.id_base is too high");
    assert_int_equal(idmap_userns(idmap, 65535, &err), -1); /* 65535 * COUNT passes 2^32 */
    assert_true(idmap_userns(idmap, 2, &err) >= 0);
    idmap_destroy(idmap);
}

/* A helper that is stopped must not outlive whoever made it. */
static void helper_dies_with_its_maker(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct err err;
        struct idmap *idmap = idmap_create(BASE, COUNT);
        /* The pipe is inherited by every helper: its end is the end of all of them. */
        for (unsigned slot = 0; slot < 200; slot++)
            idmap_userns(idmap, slot, &err);
        pause();
        _exit(0);
    }
    close(pair[1]);
    usleep(3000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    char byte;
    assert_int_equal(read(pair[0], &byte, 1), 0);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_have_ranges_side_by_side),
        cmocka_unit_test(userns_maps_the_slots_ids),
        cmocka_unit_test(userns_is_made_once_unless_too_many_are_kept),
        cmocka_unit_test(nothing_is_left_of_the_making),
        cmocka_unit_test(ids_that_the_host_does_not_have),
        cmocka_unit_test(helper_dies_with_its_maker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
