#include "../../../src/agent/watch.h"

#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const struct watch_tag tag = {.generation = 0x89abcdef, .slot = 127, .source = 5};

static void test_tag_comes_back(void **state)
{
    (void)state;
    int tube[2];
    struct epoll_event event;
    assert_int_equal(pipe2(tube, O_CLOEXEC), 0);
    struct watch watch = {.fd = tube[0]};
    assert_int_equal(watch_set(&watch, tag, EPOLLIN), 0);
    assert_int_equal(watch_wait(&event, 1, 0), 0);
    assert_int_equal(write(tube[1], "x", 1), 1);
    assert_int_equal(watch_wait(&event, 1, 0), 1);
    assert_int_equal(event.events, EPOLLIN);
    struct watch_tag back = watch_tag(&event);
    assert_int_equal(back.generation, tag.generation);
    assert_int_equal(back.slot, tag.slot);
    assert_int_equal(back.source, tag.source);
    watch_close(&watch);
    assert_int_equal(watch.fd, -1);
    close(tube[1]);
}

/* A hang-up wakes even who waits for nothing, but for who has said so with 0. */
static void test_no_events_is_none_at_all(void **state)
{
    (void)state;
    int tube[2];
    struct epoll_event event;
    assert_int_equal(pipe2(tube, O_CLOEXEC), 0);
    struct watch watch = {.fd = tube[0]};
    assert_int_equal(watch_set(&watch, tag, EPOLLIN), 0);
    close(tube[1]);
    assert_int_equal(watch_wait(&event, 1, 0), 1);
    assert_int_equal(watch_set(&watch, tag, 0), 0);
    assert_int_equal(watch_wait(&event, 1, 0), 0);
    assert_int_equal(watch_set(&watch, tag, EPOLLIN), 0);
    assert_int_equal(watch_set(&watch, tag, EPOLLIN | EPOLLRDHUP), 0);
    assert_int_equal(watch_wait(&event, 1, 0), 1);
    watch_close(&watch);
    watch_close(&watch);
}

/* Whoever sent a descriptor may hold a copy; a closed watch still says nothing more. */
static void test_closed_with_a_copy_open(void **state)
{
    (void)state;
    int tube[2];
    struct epoll_event event;
    assert_int_equal(pipe2(tube, O_CLOEXEC), 0);
    int copy = dup(tube[0]);
    struct watch watch = {.fd = tube[0]};
    assert_int_equal(watch_set(&watch, tag, EPOLLIN), 0);
    close(tube[1]);
    watch_close(&watch);
    assert_int_equal(watch_wait(&event, 1, 0), 0);
    close(copy);
}

static void test_what_cannot_be_watched(void **state)
{
    (void)state;
    struct watch none = {.fd = -1};
    assert_int_equal(watch_set(&none, tag, EPOLLIN), 0);
    struct watch file = {.fd = open("/", O_RDONLY | O_CLOEXEC)};
    assert_int_equal(watch_set(&file, tag, EPOLLIN), -1);
    assert_int_equal(errno, EPERM);
    watch_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tag_comes_back),
        cmocka_unit_test(test_no_events_is_none_at_all),
        cmocka_unit_test(test_closed_with_a_copy_open),
        cmocka_unit_test(test_what_cannot_be_watched),
    };
    return watch_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
