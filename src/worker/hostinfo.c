#include "hostinfo.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static int64_t meminfo_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at && (at == text || at[-1] == '\n') ? strtoll(at + strlen(key), NULL, 10) * 1024 : 0;
}

void hostinfo_parse_memory(const char *text, struct host_memory *memory)
{
    *memory = (struct host_memory){
        .total = meminfo_bytes(text, "MemTotal:"),
        .free = meminfo_bytes(text, "MemFree:"),
        .available = meminfo_bytes(text, "MemAvailable:"),
        .swap_total = meminfo_bytes(text, "SwapTotal:"),
        .swap_free = meminfo_bytes(text, "SwapFree:"),
    };
    /* Inside some containers the two are of different views. */
    if (memory->available > memory->total)
        memory->available = memory->total;
}

void hostinfo_memory(struct host_memory *memory)
{
    char text[8192];
    if (fd_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) <= 0)
        text[0] = '\0';
    hostinfo_parse_memory(text, memory);
}

static int64_t read_number(const char *path)
{
    char text[32];
    return fd_read_file(AT_FDCWD, path, text, sizeof(text)) > 0 ? strtoll(text, NULL, 10) : 0;
}

int64_t hostinfo_processes_most(void)
{
    int64_t numbers = read_number("/proc/sys/kernel/pid_max");
    int64_t threads = read_number("/proc/sys/kernel/threads-max");
    return numbers < threads ? numbers : threads;
}

unsigned hostinfo_memory_used_percent(const struct host_memory *memory)
{
    if (memory->total <= 0)
        return 0;
    return (unsigned)(100 * (memory->total - memory->available) / memory->total);
}

/* What path's file system is mounted from ("/dev/sda1"); "" when unknown. By device number out of
 * mountinfo (proc(5)), since looking at every mount could hang on a dead network file system.
 */
static const char *filesystem_of(const char *path, char text[256])
{
    struct stat wanted;
    text[0] = '\0';
    FILE *mounts = stat(path, &wanted) == 0 ? fopen("/proc/self/mountinfo", "re") : NULL;
    if (!mounts)
        return text;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, mounts) > 0) {
        unsigned major_number, minor_number;
        const char *rest = strstr(line, " - ");
        if (rest && sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) == 2 &&
            makedev(major_number, minor_number) == wanted.st_dev)
            sscanf(rest, " - %*s %255s", text);
    }
    free(line);
    fclose(mounts);
    if (str_utf8_valid(text, strlen(text)) < strlen(text))
        text[0] = '\0'; /* it could not stand in JSON */
    return text;
}

static json_t *describe_disk(const char *path)
{
    struct statvfs fs;
    char device[256];
    if (statvfs(path, &fs) != 0)
        return json_object();
    int64_t block = (int64_t)fs.f_frsize;
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "path", path, "filesystem",
                     filesystem_of(path, device), "total", (json_int_t)fs.f_blocks * block, "used",
                     (json_int_t)(fs.f_blocks - fs.f_bfree) * block, "available",
                     (json_int_t)fs.f_bavail * block);
}

void hostinfo_describe(json_t *object, const char *path)
{
    struct host_memory memory;
    hostinfo_memory(&memory);
    json_object_set_new(
        object, "memory",
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)memory.total, "free",
                  (json_int_t)memory.free, "available", (json_int_t)memory.available, "used",
                  (json_int_t)(memory.total - memory.available), "swapTotal",
                  (json_int_t)memory.swap_total, "swapFree", (json_int_t)memory.swap_free));
    json_object_set_new(object, "disk", describe_disk(path));
    double load[3] = {0};
    if (getloadavg(load, 3) == 3)
        json_object_set_new(object, "load", json_pack("[f, f, f]", load[0], load[1], load[2]));
}
