#include "privileges.h"

#include "../common/str.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int privileges_find(struct privileges *privileges, const char *user, const char *group,
                    struct err *err)
{
    *privileges = (struct privileges){.root = geteuid() == 0};
    if (!privileges->root)
        return 0;
    const struct passwd *passwd = getpwnam(user);
    if (!passwd)
        return err_set(err, ERR_INTERNAL,
                       "http.user: there is no user \"%s\", and the manager does not run as root",
                       user);
    const struct group *found = getgrnam(group);
    if (!found)
        return err_set(err, ERR_INTERNAL, "http.group: there is no group \"%s\"", group);
    privileges->uid = passwd->pw_uid;
    privileges->gid = found->gr_gid;
    if (privileges->uid == 0 || privileges->gid == 0)
        return err_set(err, ERR_INTERNAL,
                       "http.user, http.group: \"%s\", \"%s\" are root's; the manager does not run "
                       "as root",
                       user, group);
    if (!str_format(privileges->user, sizeof(privileges->user), "%s", user))
        return err_set(err, ERR_INTERNAL, "http.user: longer than 32 characters");
    return 0;
}

/* Those that a program could pass on to one that it starts. */
static int clear_inheritable(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0)
        return -1;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i].inheritable = 0;
    return (int)syscall(SYS_capset, &header, data);
}

int privileges_seal(const struct privileges *privileges, struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "no_new_privs");
    if (!privileges->root)
        return 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return err_sys(err, ERR_INTERNAL, errno, "drop capability %d", capability);
    if (clear_inheritable() != 0)
        return err_sys(err, ERR_INTERNAL, errno, "drop inheritable capabilities");
    return 0;
}

static int check_no_way_back(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (setresuid(-1, 0, -1) == 0 || setresgid(-1, 0, -1) == 0)
        return err_set(err, ERR_INTERNAL, "root was given up but can be had again");
    if (syscall(SYS_capget, &header, data) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "capget");
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        if (data[i].effective || data[i].permitted || data[i].inheritable)
            return err_set(err, ERR_INTERNAL, "root was given up but capabilities are left");
    return 0;
}

/* The kernel forgets at a change of user what should happen when the parent dies. */
static int keep_death_signal(int signal, pid_t parent, struct err *err)
{
    if (signal != 0 && prctl(PR_SET_PDEATHSIG, signal) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "ask for the parent's death signal");
    if (signal != 0 && getppid() != parent) /* it died meanwhile */
        raise(signal);
    return 0;
}

int privileges_drop(const struct privileges *privileges, struct err *err)
{
    if (!privileges->root)
        return 0;
    pid_t parent = getppid();
    int death_signal = 0;
    if (prctl(PR_GET_PDEATHSIG, &death_signal) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "read the parent's death signal");
    if (initgroups(privileges->user, privileges->gid) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "initgroups");
    if (setresgid(privileges->gid, privileges->gid, privileges->gid) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "setresgid");
    if (setresuid(privileges->uid, privileges->uid, privileges->uid) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "setresuid");
    if (keep_death_signal(death_signal, parent, err) != 0)
        return -1;
    return check_no_way_back(err);
}
