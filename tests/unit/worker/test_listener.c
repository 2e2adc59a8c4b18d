#include "../../../src/worker/listener.h"

#include "../../../src/common/fd.h"
#include "../../support/loop_wait.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS 200

struct stage {
    uv_loop_t loop;
    char folder[PATH_MAX];
    struct listener *listener;
    unsigned accepted, stop_after;
    int fds[CLIENTS];
};

static void on_accepted(int take_fd, void *data)
{
    struct stage *stage = data;
    assert_true(fcntl(take_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(take_fd, F_GETFD) & FD_CLOEXEC);
    assert_in_range(stage->accepted, 0, CLIENTS - 1);
    stage->fds[stage->accepted++] = take_fd;
    if (stage->accepted == stage->stop_after) {
        listener_destroy(stage->listener);
        stage->listener = NULL;
    }
}

static const char *path_of(const struct stage *stage)
{
    return scratch_path(stage->folder, "a.sock");
}

static void begin(struct stage *stage)
{
    struct err err;
    *stage = (struct stage){.accepted = 0};
    uv_loop_init(&stage->loop);
    scratch_make(stage->folder);
    stage->listener =
        listener_create(&stage->loop, path_of(stage), 0640, 1, on_accepted, stage, &err);
    if (!stage->listener)
        fail_msg("%s", err.msg);
}

static void finish(struct stage *stage)
{
    listener_destroy(stage->listener);
    for (unsigned i = 0; i < stage->accepted; i++)
        close(stage->fds[i]);
    loop_finish(&stage->loop);
    scratch_remove(stage->folder);
}

static int connect_to(const struct stage *stage)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path_of(stage));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return -1;
}

static void connections_are_handed_over(void **state)
{
    struct stage stage;
    int clients[CLIENTS];
    (void)state;
    begin(&stage);
    for (int i = 0; i < CLIENTS; i++)
        assert_true((clients[i] = connect_to(&stage)) >= 0);
    loop_wait(&stage.loop, stage.accepted == CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    finish(&stage);
}

static void socket_has_its_mode_and_group_and_goes_with_the_listener(void **state)
{
    struct stage stage;
    struct stat st;
    (void)state;
    begin(&stage);
    assert_int_equal(stat(path_of(&stage), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_gid, 1);
    listener_destroy(stage.listener);
    stage.listener = NULL;
    assert_false(scratch_exists(path_of(&stage)));
    finish(&stage);
    listener_destroy(NULL);
}

static void socket_that_was_left_behind_is_replaced(void **state)
{
    struct stage stage;
    struct err err;
    (void)state;
    begin(&stage);
    struct listener *second =
        listener_create(&stage.loop, path_of(&stage), 0600, (gid_t)-1, on_accepted, &stage, &err);
    assert_non_null(second);
    int client = connect_to(&stage);
    assert_true(client >= 0);
    loop_wait(&stage.loop, stage.accepted == 1);
    close(client);
    listener_destroy(second);
    finish(&stage);
}

static void it_may_be_destroyed_while_it_hands_over(void **state)
{
    struct stage stage;
    int clients[10];
    (void)state;
    begin(&stage);
    stage.stop_after = 3;
    for (int i = 0; i < 10; i++)
        clients[i] = connect_to(&stage);
    loop_wait(&stage.loop, !uv_loop_alive(&stage.loop));
    assert_int_equal(stage.accepted, 3);
    for (int i = 0; i < 10; i++)
        close(clients[i]);
    finish(&stage);
}

static void on_turn(uv_prepare_t *prepare)
{
    ++*(unsigned *)prepare->data;
}

static void on_tick(uv_timer_t *timer)
{
    ++*(unsigned *)timer->data;
}

/* Without descriptors the waiting connection stays readable for ever: the loop must not spin on it,
 * and must come back to it once there are some.
 */
static void connections_wait_while_there_are_no_descriptors(void **state)
{
    struct stage stage;
    struct rlimit before, none;
    unsigned turns = 0, ticks = 0;
    uv_prepare_t prepare;
    uv_timer_t timer;
    (void)state;
    begin(&stage);
    uv_prepare_init(&stage.loop, &prepare);
    uv_timer_init(&stage.loop, &timer);
    prepare.data = &turns;
    timer.data = &ticks;
    int client = connect_to(&stage);
    int free_fd = dup(client); /* the lowest that is free */
    close(free_fd);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)free_fd, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uv_prepare_start(&prepare, on_turn);
    uv_timer_start(&timer, on_tick, 50, 50);
    while (ticks < 8)
        uv_run(&stage.loop, UV_RUN_ONCE);
    assert_int_equal(stage.accepted, 0);
    assert_in_range(turns, 1, 100); /* it would be a hundred thousand */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    loop_wait(&stage.loop, stage.accepted == 1);
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    close(client);
    finish(&stage);
}

static void failures_name_the_path(void **state)
{
    uv_loop_t loop;
    struct err err;
    char path[200], folder[PATH_MAX];
    (void)state;
    uv_loop_init(&loop);
    scratch_make(folder);
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_null(listener_create(&loop, path, 0600, (gid_t)-1, on_accepted, NULL, &err));
    assert_contains(err.msg, "longer than a socket's path may be: /xxx");
    assert_null(
        listener_create(&loop, "/nonexistent/a.sock", 0600, (gid_t)-1, on_accepted, NULL, &err));
    assert_contains(err.msg, "cannot listen on /nonexistent/a.sock: No such file");
    assert_null(listener_create(&loop, folder, 0600, (gid_t)-1, on_accepted, NULL, &err));
    assert_contains(err.msg, "cannot replace");
    scratch_remove(folder);
    loop_finish(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_handed_over),
        cmocka_unit_test(socket_has_its_mode_and_group_and_goes_with_the_listener),
        cmocka_unit_test(socket_that_was_left_behind_is_replaced),
        cmocka_unit_test(it_may_be_destroyed_while_it_hands_over),
        cmocka_unit_test(connections_wait_while_there_are_no_descriptors),
        cmocka_unit_test(failures_name_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
