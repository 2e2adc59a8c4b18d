#include "idmap.h"

#include "../common/fault.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct idmap {
    uint32_t base, count;
    struct {
        unsigned slot;
        int userns;
    } kept[IDMAP_KEPT]; /* slot n lives at n % IDMAP_KEPT */
};

struct idmap *idmap_create(uint32_t base, uint32_t count)
{
    struct idmap *idmap = mem_new(struct idmap);
    idmap->base = base;
    idmap->count = count;
    for (size_t i = 0; i < IDMAP_KEPT; i++)
        idmap->kept[i].userns = -1;
    return idmap;
}

void idmap_destroy(struct idmap *idmap)
{
    if (!idmap)
        return;
    for (size_t i = 0; i < IDMAP_KEPT; i++)
        fd_close(&idmap->kept[i].userns);
    free(idmap);
}

uint32_t idmap_first(const struct idmap *idmap, unsigned slot)
{
    return idmap->base + slot * idmap->count;
}

uint32_t idmap_count(const struct idmap *idmap)
{
    return idmap->count;
}

int idmap_slot(const struct idmap *idmap, uint32_t host_id)
{
    if (host_id < idmap->base || (host_id - idmap->base) % idmap->count != 0)
        return -1;
    return (int)((host_id - idmap->base) / idmap->count);
}

/* A child in a new user namespace, stopped until it is killed, also by the end of this process. */
static pid_t spawn_in_userns(void)
{
    pid_t parent = getpid();
    pid_t pid = (pid_t)FAULT(USERNS_CLONE, -1,
                             syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    return pid;
}

static int write_map(const struct idmap *idmap, pid_t pid, const char *which, unsigned slot)
{
    char path[64], line[64];
    if (!str_format(path, sizeof(path), "/proc/%d/%s", (int)pid, which) ||
        !str_format(line, sizeof(line), "0 %" PRIu32 " %" PRIu32 "\n", idmap_first(idmap, slot),
                    idmap->count))
        return -1;
    return FAULT(USERNS_MAP, -1, fd_write_file(AT_FDCWD, path, line));
}

/* The highest id stands for "none" (chown(2)) and is never given. */
static bool slot_fits(const struct idmap *idmap, unsigned slot)
{
    return idmap->base + ((uint64_t)slot + 1) * idmap->count <= UINT32_MAX;
}

static int make_userns(const struct idmap *idmap, unsigned slot, struct err *err)
{
    if (!slot_fits(idmap, slot))
        return err_set(err, ERR_INTERNAL, "slot %u has no ids: worker.id_base is too high", slot);
    pid_t pid = spawn_in_userns();
    if (pid < 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot make a user namespace");
    int userns = -1;
    char path[64];
    if (write_map(idmap, pid, "uid_map", slot) == 0 &&
        write_map(idmap, pid, "gid_map", slot) == 0 &&
        str_format(path, sizeof(path), "/proc/%d/ns/user", (int)pid))
        userns = FAULT(USERNS_OPEN, -1, open(path, O_RDONLY | O_CLOEXEC));
    int failed = errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (userns < 0)
        return err_sys(err, ERR_INTERNAL, failed, "cannot map ids %" PRIu32 "..%" PRIu32,
                       idmap_first(idmap, slot), idmap_first(idmap, slot) + idmap->count - 1);
    return userns;
}

int idmap_userns(struct idmap *idmap, unsigned slot, struct err *err)
{
    __auto_type kept = &idmap->kept[slot % IDMAP_KEPT];
    if (kept->userns >= 0 && kept->slot == slot)
        return kept->userns;
    fd_close(&kept->userns);
    kept->slot = slot;
    kept->userns = make_userns(idmap, slot, err);
    return kept->userns;
}
