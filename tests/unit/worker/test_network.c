/* The worker's side of the network, with a helper that is the test itself. What the real helper
 * does to a kernel is tested by tests/integration/test_network.py.
 */
#include "../../../src/worker/network.h"

#include "../../../src/common/fd.h"
#include "../../../src/worker/network_helper.h"
#include "../../support/loop_wait.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct stage {
    uv_loop_t loop;
    struct network *network;
    int helper; /* the other end */
    pid_t pid;
    unsigned done, failed, died;
    char why[240];
};

static void on_died(void *data)
{
    ((struct stage *)data)->died++;
}

static void on_done(const struct err *why, void *data)
{
    struct stage *stage = data;
    stage->done++;
    stage->failed += why != NULL;
    if (why)
        strcpy(stage->why, why->msg);
}

static void begin(struct stage *stage)
{
    int pair[2];
    struct err err;
    *stage = (struct stage){0};
    uv_loop_init(&stage->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    stage->helper = pair[1];
    stage->pid = fork(); /* what a silent helper's pid would be; it is not spoken to */
    if (stage->pid == 0)
        for (;;)
            pause();
    const struct network_config config = {
        .loop = &stage->loop,
        .socket = pair[0],
        .helper = stage->pid,
        .died = on_died,
        .data = stage,
    };
    stage->network = network_create(&config, &err);
    assert_non_null(stage->network);
}

static void finish(struct stage *stage)
{
    fd_close(&stage->helper);
    network_destroy(stage->network);
    loop_finish(&stage->loop);
    kill(stage->pid, SIGKILL);
    waitpid(stage->pid, NULL, 0);
}

static bool has_request(const struct stage *stage)
{
    char byte;
    return recv(stage->helper, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void expect_request(const struct stage *stage, enum network_verb verb, unsigned slot)
{
    struct network_request request;
    int fds[FD_SEND_MAX];
    assert_int_equal(fd_recv(stage->helper, &request, sizeof(request), fds), sizeof(request));
    assert_int_equal(request.verb, verb);
    assert_int_equal(request.slot, slot);
    assert_int_equal(fds[0] >= 0, verb == NETWORK_ATTACH);
    if (verb == NETWORK_ATTACH) {
        assert_int_equal(pidfd_send_signal(fds[0], 0, NULL, 0), 0);
        assert_int_equal(request.init, getpid());
        assert_int_equal(request.owner, 4711);
    }
    fd_close(&fds[0]);
}

static void answer(const struct stage *stage, const char *why)
{
    struct network_answer reply = {.err = {.code = ERR_NONE}};
    if (why)
        err_set(&reply.err, ERR_NOT_AVAILABLE, "%s", why);
    assert_int_equal(fd_send(stage->helper, &reply, sizeof(reply), NULL, 0), 0);
}

static void attach_self(struct stage *stage, unsigned slot)
{
    cleanup_close int pidfd = pidfd_open(getpid(), 0);
    network_attach(stage->network, slot, getpid(), pidfd, 4711, on_done, stage);
}

static void requests_go_one_by_one_and_their_answers_to_their_askers(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    network_adopt(stage.network, 3);
    attach_self(&stage, 4);
    network_detach(stage.network, 3, on_done, &stage);
    expect_request(&stage, NETWORK_ADOPT, 3);
    assert_false(has_request(&stage));
    answer(&stage, NULL);
    loop_wait(&stage.loop, has_request(&stage));
    expect_request(&stage, NETWORK_ATTACH, 4);
    assert_int_equal(stage.done, 0);
    answer(&stage, "no address left");
    loop_wait(&stage.loop, stage.done == 1);
    assert_int_equal(stage.failed, 1);
    assert_string_equal(stage.why, "no address left");
    expect_request(&stage, NETWORK_DETACH, 3);
    answer(&stage, NULL);
    loop_wait(&stage.loop, stage.done == 2);
    assert_int_equal(stage.failed, 1);
    finish(&stage);
}

static void helper_that_dies_fails_all_that_was_asked_and_will_be(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    attach_self(&stage, 1);
    attach_self(&stage, 2);
    fd_close(&stage.helper);
    loop_wait(&stage.loop, stage.died == 1);
    assert_int_equal(stage.done, 2);
    assert_int_equal(stage.failed, 2);
    network_detach(stage.network, 1, on_done, &stage);
    assert_int_equal(stage.done, 2); /* never before the call has returned */
    loop_wait(&stage.loop, stage.done == 3);
    assert_contains(stage.why, "died");
    finish(&stage);
}

static void helper_that_talks_unasked_is_dead(void **state)
{
    struct stage stage;
    (void)state;
    begin(&stage);
    answer(&stage, NULL);
    loop_wait(&stage.loop, stage.died == 1);
    finish(&stage);
}

static void *answer_all(void *data)
{
    struct stage *stage = data;
    static const enum network_verb verbs[] = {NETWORK_DETACH, NETWORK_DETACH, NETWORK_CLEAR};
    for (unsigned i = 0; i < 3; i++) {
        struct network_request request;
        int fds[FD_SEND_MAX];
        if (fd_recv(stage->helper, &request, sizeof(request), fds) != sizeof(request) ||
            request.verb != verbs[i])
            return (void *)"the requests were others";
        answer(stage, NULL);
    }
    return NULL;
}

static void all_that_was_asked_is_done_before_the_end_and_nobody_is_told(void **state)
{
    struct stage stage;
    pthread_t thread;
    void *wrong;
    (void)state;
    begin(&stage);
    network_detach(stage.network, 1, on_done, &stage);
    network_detach(stage.network, 2, on_done, &stage);
    assert_int_equal(pthread_create(&thread, NULL, answer_all, &stage), 0);
    network_destroy(stage.network);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    stage.network = NULL;
    assert_int_equal(stage.done, 0);
    finish(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_go_one_by_one_and_their_answers_to_their_askers),
        cmocka_unit_test(helper_that_dies_fails_all_that_was_asked_and_will_be),
        cmocka_unit_test(helper_that_talks_unasked_is_dead),
        cmocka_unit_test(all_that_was_asked_is_done_before_the_end_and_nobody_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
