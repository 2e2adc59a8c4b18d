#include "signals.h"

#include <signal.h>
#include <string.h>
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

int signals_number(const char *name)
{
    if (strncmp(name, "SIG", 3) != 0)
        return 0;
    for (int sig = 1; sig <= SIGNALS; sig++) {
        const char *abbreviation = sigabbrev_np(sig);
        if (abbreviation && strcmp(name + 3, abbreviation) == 0)
            return sig;
    }
    return 0;
}
