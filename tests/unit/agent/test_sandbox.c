#include "session.h"

#include "../../../src/agent/sandbox.h"
#include "../../support/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the filter alone, on a child of the test: root, who would be refused nothing without it ----
 */

/* What a child says that failed, in its own words; its exit code says whether it did. */
static char *said;

#define expect(good, ...)                                                                          \
    do {                                                                                           \
        if (!(good)) {                                                                             \
            snprintf(said, 400, __VA_ARGS__);                                                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int in_child(void (*body)(void))
{
    int status;
    said = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(said != MAP_FAILED);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGSEGV, SIG_DFL); /* cmocka would go on with its next test */
        setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1});
        expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && sandbox_deny() == 0,
               "the filter is refused: %s", strerror(errno));
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void assert_child(void (*body)(void))
{
    int status = in_child(body);
    if (status != 0)
        fail_msg("wait status %#x: %s", (unsigned)status, said);
    munmap(said, 4096);
}

static void expect_errno(const char *what, long result, int wanted)
{
    int got = errno;
    expect(result == -1 && got == wanted, "%s gives %ld, \"%s\" and not \"%s\"", what, result,
           strerror(got), strerror(wanted));
}

/* Arguments that no call makes anything of. */
#define NONSENSE -1L, -1L, -1L, -1L, -1L, -1L

static const struct {
    const char *call;
    int code;
} always[] = {
#define DENY(call, code) {#call, code},
#define DENY_WHEN(call, code, ...)
#define FAKE_WHEN(call, ...)
#include "../../../src/agent/denied.def"
};

static void denied_always(void)
{
    size_t tried = 0;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        int number = seccomp_syscall_resolve_name(always[i].call);
        expect(number != __NR_SCMP_ERROR, "%s: no such call", always[i].call);
        if (number < 0) /* not on this architecture */
            continue;
        tried++;
        expect_errno(always[i].call, syscall(number, NONSENSE), always[i].code);
    }
    expect(tried >= 45, "only %zu calls are denied", tried);
}

static void test_denied_always(void **state)
{
    (void)state;
    assert_child(denied_always);
}

static void namespaces(void)
{
    static const int flags[] = {CLONE_NEWCGROUP, CLONE_NEWIPC,  CLONE_NEWNET, CLONE_NEWNS,
                                CLONE_NEWPID,    CLONE_NEWUSER, CLONE_NEWUTS};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        char what[64];
        snprintf(what, sizeof(what), "a namespace, flag %#x", (unsigned)flags[i]);
        expect_errno(what, unshare(flags[i]), EPERM);
        expect_errno(what, unshare(flags[i] | CLONE_FS), EPERM);
        long pid = syscall(SYS_clone, flags[i] | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0)
            _exit(0);
        expect_errno(what, pid, EPERM);
    }
    expect_errno("a time namespace", unshare(0x80), EPERM);
    expect(unshare(CLONE_FILES | CLONE_FS) == 0, "unshare without a namespace is refused");
}

static void test_namespaces(void **state)
{
    (void)state;
    assert_child(namespaces);
}

static void families(void)
{
    for (int family = 0; family < 64; family++) {
        bool good = family == AF_UNIX || family == AF_INET || family == AF_INET6;
        int pair[2], fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (good || family == AF_NETLINK) {
            expect(fd >= 0, "family %d: %s", family, strerror(errno));
            close(fd);
            continue;
        }
        expect_errno("another family", fd, EAFNOSUPPORT);
        expect_errno("a pair of another family", socketpair(family, SOCK_DGRAM, 0, pair),
                     EAFNOSUPPORT);
    }
    expect(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0, "a raw socket: %s", strerror(errno));
}

static void test_families(void **state)
{
    (void)state;
    assert_child(families);
}

static void protocols(void)
{
    static const int loaded_on_demand[] = {IPPROTO_DCCP,    115 /* L2TP */, IPPROTO_SCTP,
                                           IPPROTO_UDPLITE, 256 /* SMC */,  262 /* MPTCP */};
    for (size_t i = 0; i < sizeof(loaded_on_demand) / sizeof(loaded_on_demand[0]); i++)
        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
            expect_errno("a protocol", socket(AF_INET, type, loaded_on_demand[i]), EPROTONOSUPPORT);
    for (int protocol = 1; protocol < 23; protocol++)
        expect_errno("netlink", socket(AF_NETLINK, SOCK_RAW, protocol), EPROTONOSUPPORT);
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), one = 1;
    expect(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_TTL, &one, sizeof(one)) == 0, "TCP is refused");
    expect_errno("iptables", setsockopt(fd, IPPROTO_IP, 64, &one, sizeof(one)), EPERM);
    expect_errno("ip6tables", setsockopt(fd, IPPROTO_IPV6, 64, &one, sizeof(one)), EPERM);
}

static void test_protocols(void **state)
{
    (void)state;
    assert_child(protocols);
}

static void terminals(void)
{
    expect_errno("TIOCSTI", ioctl(-1, TIOCSTI, ""), EPERM);
    expect_errno("TIOCLINUX", ioctl(-1, TIOCLINUX, ""), EPERM);
    /* The kernel sees the lower half alone, and so does the filter. */
    expect_errno("TIOCSTI", syscall(SYS_ioctl, -1, 0x100000000L | TIOCSTI, ""), EPERM);
    expect_errno("TIOCGWINSZ", ioctl(-1, TIOCGWINSZ, ""), EBADF);
}

static void test_terminals(void **state)
{
    (void)state;
    assert_child(terminals);
}

static void newer_calls(void)
{
    for (int number = 457; number < 600; number++)
        expect_errno("a newer call", syscall(number, NONSENSE), ENOSYS);
#ifdef __x86_64__
    expect_errno("an x32 call", syscall(0x40000000 | SYS_getpid), ENOSYS);
#endif
    expect_errno("no call", syscall(-1), ENOSYS);
}

static void test_newer_calls(void **state)
{
    (void)state;
    assert_child(newer_calls);
}

#ifdef __x86_64__
static void call_of_32_bit(void)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid */
    _exit(3);
}

static void test_foreign_architecture(void **state)
{
    (void)state;
    int status = in_child(call_of_32_bit);
    assert_true(WIFSIGNALED(status));
    if (WTERMSIG(status) != SIGSEGV) /* a kernel without such programs */
        assert_int_equal(WTERMSIG(status), SIGSYS);
    munmap(said, 4096);
}
#endif

static void core_limit(void)
{
    struct rlimit limit = {1, 1}, other = {0, 0};
    /* The C library's way is prlimit64; the older call is its own. */
    expect(setrlimit(RLIMIT_CORE, &other) == 0 && syscall(SYS_setrlimit, RLIMIT_CORE, &other) == 0,
           "the limit's change is refused, which programs do not expect");
    expect(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 1, "the limit was changed");
    expect(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}) == 0 &&
               getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 64,
           "another limit is refused");
}

static void test_core_limit(void **state)
{
    (void)state;
    assert_child(core_limit);
}

static void *thread(void *data)
{
    return data;
}

static void ordinary(void)
{
    pthread_t other;
    void *result;
    expect(pthread_create(&other, NULL, thread, said) == 0 && pthread_join(other, &result) == 0 &&
               result == said,
           "threads are refused");
    expect(system("true | cat && exit 7") == 7 << 8, "programs are refused");
}

static void test_ordinary(void **state)
{
    (void)state;
    assert_child(ordinary);
}

/* ---- the agent ---- */

/* For each user what the cell's kernel has of a list of paths: files are empty, and so are folders;
 * no mount can be taken away, nor the filter, in which the agent is too.
 */
static void test_masks(void **state)
{
    static const char script[] =
        "for f in cmdline interrupts kallsyms keys key-users modules kcore timer_list; do\n"
        "    f=/proc/$f; [ -e $f ] || continue; head -c 1 $f; echo >>$f || echo cannot write;\n"
        "done 2>&1\n"
        "for d in /proc/bus /proc/driver /proc/irq /proc/pressure /sys/module /sys/firmware "
        "/sys/kernel/debug\n"
        "do [ -e $d ] || continue; ls -A $d; mkdir $d/new 2>/dev/null && echo made; done\n"
        "test -r /proc/cpuinfo && test -d /sys/devices/system/cpu && echo left";
    session_expect(*state, 0, script, "left\n");
    session_expect(*state, AGENT_EXEC_ROOT, script, "left\n");
    session_expect(*state, AGENT_EXEC_ROOT,
                   "umount /proc/cmdline 2>/dev/null || umount -l /sys/module 2>/dev/null || "
                   "mount -o remount,rw /sys/module 2>/dev/null || "
                   "mount -t tmpfs none /mnt 2>/dev/null || echo refused",
                   "refused\n");
}

static void test_everybody_is_in_it(void **state)
{
    session_expect(*state, 0, "grep ^Seccomp: /proc/self/status | tr '\\t' ' '", "Seccomp: 2\n");
    session_expect(*state, AGENT_EXEC_ROOT, "grep -h ^Seccomp: /proc/self/status /proc/1/status",
                   "Seccomp:\t2\nSeccomp:\t2\n");
    session_expect(*state, AGENT_EXEC_ROOT, "unshare -U true 2>/dev/null || echo refused",
                   "refused\n");
}

static void test_no_core(void **state)
{
    struct outcome outcome;
    session_run(*state, 0, "ulimit -c unlimited; ulimit -c 0; kill -SEGV $$", &outcome);
    assert_int_equal(outcome.exit.signal, SIGSEGV);
    outcome_free(&outcome);
    session_expect(*state, 0, "cd; ls -A; sh -c 'kill -SEGV $$' 2>/dev/null; ls -A", "");
}

int main(int argc, char **argv)
{
    cell_init(argc, argv);
#define CELL_TEST(test) cmocka_unit_test_setup_teardown(test, cell_setup, cell_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denied_always),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_terminals),
        cmocka_unit_test(test_newer_calls),
#ifdef __x86_64__
        cmocka_unit_test(test_foreign_architecture),
#endif
        cmocka_unit_test(test_core_limit),
        cmocka_unit_test(test_ordinary),
        CELL_TEST(test_masks),
        CELL_TEST(test_everybody_is_in_it),
        CELL_TEST(test_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
