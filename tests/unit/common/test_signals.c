#include "../../../src/common/signals.h"

#include "../../../src/common/fd.h"
#include "../../support/cm.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void ignore(int sig)
{
    const unsigned long ignored[4] = {1}; /* SIG_IGN, as the kernel has it */
    syscall(SYS_rt_sigaction, sig, ignored, NULL, 8);
}

/* Exit code 0 when /proc says that nothing is ignored, caught or blocked. */
static int status_is_clean(void)
{
    static const char *const lines[] = {"\nSigBlk:\t0000000000000000\n",
                                        "\nSigIgn:\t0000000000000000\n",
                                        "\nSigCgt:\t0000000000000000\n"};
    char text[8192];
    if (fd_read_file(AT_FDCWD, "/proc/self/status", text, sizeof(text)) <= 0)
        return 1;
    for (size_t i = 0; i < 3; i++)
        if (!strstr(text, lines[i]))
            return 2 + (int)i;
    return 0;
}

static void all_are_standard_even_those_of_the_c_library(void **data)
{
    (void)data;
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t blocked;
        sigfillset(&blocked);
        sigprocmask(SIG_SETMASK, &blocked, NULL);
        for (int sig = 1; sig <= 64; sig++)
            ignore(sig);
        signals_reset();
        _exit(status_is_clean());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_standard_even_those_of_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
