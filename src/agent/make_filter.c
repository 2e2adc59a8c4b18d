/* Run by the build: makes the seccomp filter of denied.def, as a C array, for the agent to load as
 * it is. libseccomp is too large for a process of which there is one in every runner, and a filter
 * that is made once costs a start nothing.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define PROTOCOL_L2TP 115    /* linux/l2tp.h */
#define TABLE_SET_REPLACE 64 /* IPT_SO_SET_REPLACE, IP6T_SO_SET_REPLACE */

/* Above it are calls that this list knows nothing of; new calls have one number everywhere. */
#define NEWEST_CALL 456 /* futex_requeue, Linux 6.7 */

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "make_filter: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static void deny(scmp_filter_ctx filter, const char *call, int number, int code,
                 const struct scmp_arg_cmp *when, size_t count)
{
    must(seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)code), number, (unsigned)count,
                                when),
         call);
}

static void deny_calls(scmp_filter_ctx filter)
{
#define DENY(call, code) deny(filter, #call, SCMP_SYS(call), code, NULL, 0);
#define DENY_WHEN(call, code, ...)                                                                 \
    deny(filter, #call, SCMP_SYS(call), code, (const struct scmp_arg_cmp[]){__VA_ARGS__},          \
         sizeof((const struct scmp_arg_cmp[]){__VA_ARGS__}) / sizeof(struct scmp_arg_cmp));
#define FAKE_WHEN(call, ...) DENY_WHEN(call, 0, __VA_ARGS__)
#include "denied.def"
}

static void deny_family(scmp_filter_ctx filter, enum scmp_compare op, unsigned family)
{
    const struct scmp_arg_cmp when = SCMP_A0_32(op, family);
    deny(filter, "socket", SCMP_SYS(socket), EAFNOSUPPORT, &when, 1);
    deny(filter, "socketpair", SCMP_SYS(socketpair), EAFNOSUPPORT, &when, 1);
}

/* All but four: AF_VSOCK reaches the hypervisor, AF_ALG and AF_PACKET are large, and most others
 * are modules that nobody looks after.
 */
static void deny_families(scmp_filter_ctx filter)
{
    for (unsigned family = 0; family < AF_NETLINK; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
            deny_family(filter, SCMP_CMP_EQ, family);
    deny_family(filter, SCMP_CMP_GT, AF_NETLINK);
}

static void print_step(unsigned code, unsigned jt, unsigned jf, uint32_t k)
{
    printf("    {%#x, %u, %u, %#xU},\n", code, jt, jf, (unsigned)k);
}

static void print_filter(int file)
{
    struct sock_filter step;
    lseek(file, 0, SEEK_SET);
    puts("static const struct sock_filter filter[] = {");
    print_step(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    print_step(BPF_JMP | BPF_JGT | BPF_K, 0, 1, NEWEST_CALL);
    print_step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS);
    while (read(file, &step, sizeof(step)) == sizeof(step))
        print_step(step.code, step.jt, step.jf, step.k);
    puts("};");
}

int main(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int file = memfd_create("filter", MFD_CLOEXEC);
    if (!filter || file < 0)
        must(-errno, "cannot begin");
    /* A program of another architecture has another list of calls: it ends at its first. */
    must(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "architectures");
    must(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "a tree");
    deny_calls(filter);
    deny_families(filter);
    must(seccomp_export_bpf(filter, file), "cannot write the filter");
    print_filter(file);
    seccomp_release(filter);
    return 0;
}
