#include "fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name, *phase;
    int error;
} points[FAULT_POINTS] = {
#define FAULT_POINT(name, error, phase) {#name, #phase, error},
#include "fault.def"
#undef FAULT_POINT
};

static struct fault_row *rows; /* NULL: nothing fails */

/* Before main: the first process maps it, those that it forks have it. */
__attribute__((constructor)) static void map_rows(void)
{
    const char *path = getenv("CODELAND_FAULTS");
    const size_t size = sizeof(struct fault_row) * FAULT_POINTS;
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        fprintf(stderr, "CODELAND_FAULTS: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    close(fd);
    rows = map;
    for (int i = 0; i < FAULT_POINTS; i++) {
        snprintf(rows[i].name, sizeof(rows[i].name), "%s", points[i].name);
        snprintf(rows[i].phase, sizeof(rows[i].phase), "%s", points[i].phase);
    }
}

bool fault_due(enum fault_point point)
{
    if (!rows)
        return false;
    struct fault_row *row = &rows[point];
    __atomic_add_fetch(&row->passed, 1, __ATOMIC_SEQ_CST);
    uint64_t left = __atomic_load_n(&row->left, __ATOMIC_SEQ_CST), next;
    do {
        if (left == 0)
            return false;
        next = left > 1 ? left - 1 : __atomic_load_n(&row->every, __ATOMIC_SEQ_CST);
    } while (!__atomic_compare_exchange_n(&row->left, &left, next, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    if (left > 1)
        return false;
    __atomic_add_fetch(&row->raised, 1, __ATOMIC_SEQ_CST);
    errno = points[point].error;
    return true;
}
