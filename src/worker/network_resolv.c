#include "network_resolv.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FILE_MAX 16384

unsigned network_resolv_of_host(uint32_t resolvers[NETWORK_RESOLVERS_MOST])
{
    static const char *const paths[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
    char text[FILE_MAX];
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (fd_read_file(AT_FDCWD, paths[i], text, sizeof(text)) < 0)
            continue;
        unsigned count = network_plan_read_resolvers(text, resolvers);
        if (count > 0)
            return count;
    }
    return 0;
}

/* The runner's /etc, with every link on the way taken as the runner would take it: none leads out.
 * That the process lives after its root was opened shows that it was not another's of that number.
 */
static int open_etc(const struct network_target *target, struct err *err)
{
    char path[64];
    const struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    str_format(path, sizeof(path), "/proc/%d/root", (int)target->init);
    cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || pidfd_send_signal(target->pidfd, 0, NULL, 0) != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "cannot look into the runner");
    int etc = (int)FAULT(RESOLV_ETC, -1, syscall(SYS_openat2, root, "etc", &how, sizeof(how)));
    return etc >= 0 ? etc : err_sys(err, ERR_NOT_AVAILABLE, errno, "the runner's /etc");
}

int network_resolv_write(const struct network_target *target,
                         const struct network_resolvers *resolvers, struct err *err)
{
    char text[NETWORK_RESOLVERS_MOST * (sizeof("nameserver \n") + IPV4_TEXT_MAX) + 1] = "";
    size_t len = 0;
    for (unsigned i = 0; i < resolvers->len; i++) {
        char address[IPV4_TEXT_MAX];
        ipv4_format(resolvers->list[i], address);
        str_format(text + len, sizeof(text) - len, "nameserver %s\n", address);
        len += strlen(text + len);
    }
    cleanup_close int etc = open_etc(target, err);
    if (etc < 0)
        return -1;
    if (unlinkat(etc, "resolv.conf", 0) != 0 && errno != ENOENT)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "the runner's /etc/resolv.conf");
    cleanup_close int fd = FAULT(
        RESOLV_OPEN, -1,
        openat(etc, "resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (fd < 0 || fchown(fd, target->owner, target->owner) != 0 || fchmod(fd, 0644) != 0 ||
        FAULT(RESOLV_WRITE, -1, fd_write_all(fd, text, len)) != 0)
        return err_sys(err, ERR_NOT_AVAILABLE, errno, "the runner's /etc/resolv.conf");
    return 0;
}
