#include "signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNALS 64 /* of the kernel, signal(7); NSIG counts from 0 */

void signals_reset(void)
{
    /* struct kernel_sigaction: all zero is SIG_DFL without flags, restorer and mask. */
    static const unsigned long standard[4];
    for (int sig = 1; sig <= SIGNALS; sig++)
        syscall(SYS_rt_sigaction, sig, standard, NULL, SIGNALS / 8); /* not SIGKILL and SIGSTOP */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
