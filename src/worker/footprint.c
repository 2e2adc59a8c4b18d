#include "footprint.h"

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/mem.h"
#include "../common/str.h"
#include "network_rules.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)32 << 20)

/* ---- lists ---- */

static uint64_t checksum(const char *text, size_t len, uint64_t sum)
{
    for (size_t i = 0; i < len; i++) /* FNV-1a */
        sum = (sum ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return sum;
}

#define CHECKSUM_START UINT64_C(0xcbf29ce484222325)

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is no text, or moves a terminal, becomes a question mark. */
static json_t *line_of(const char *line, size_t len)
{
    char text[FOOTPRINT_LINE_MAX + 24];
    if (len > FOOTPRINT_LINE_MAX)
        str_format(text, sizeof(text), "%.*s… #%016llx", FOOTPRINT_LINE_MAX - 24, line,
                   (unsigned long long)checksum(line, len, CHECKSUM_START));
    else
        str_format(text, sizeof(text), "%.*s", (int)len, line);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = '?';
    for (size_t valid; text[valid = str_utf8_valid(text, strlen(text))] != '\0';)
        text[valid] = '?';
    return json_string(text);
}

json_t *footprint_lines(const char *text)
{
    json_t *list = json_array();
    cleanup_free char *copy = mem_strdup(text);
    size_t count = 0, room = 64;
    char **lines = mem_calloc(room, sizeof(*lines));
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " \t");
        if (!line[0])
            continue;
        if (count == room)
            lines = mem_realloc(lines, (room *= 2) * sizeof(*lines));
        lines[count++] = line;
    }
    qsort(lines, count, sizeof(*lines), by_text);
    uint64_t sum = CHECKSUM_START;
    for (size_t i = 0; i < count; i++) {
        if (i < FOOTPRINT_LINES_MAX)
            json_array_append_new(list, line_of(lines[i], strlen(lines[i])));
        else
            sum = checksum(lines[i], strlen(lines[i]) + 1, sum);
    }
    if (count > FOOTPRINT_LINES_MAX) {
        char more[80];
        str_format(more, sizeof(more), "and %zu more #%016llx", count - FOOTPRINT_LINES_MAX,
                   (unsigned long long)sum);
        json_array_append_new(list, json_string(more));
    }
    free(lines);
    return list;
}

static json_t *take_lines(struct buf *text)
{
    json_t *list = footprint_lines(text->data ? text->data : "");
    buf_finish(text);
    return list;
}

/* ---- processes and groups that no runner has ---- */

struct process {
    int pid, parent;
    char name[64], state;
    uint64_t id;
};

static long long field_of(const char *status, const char *key)
{
    const char *at = strstr(status, key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

static bool read_process(const char *pid, struct process *process)
{
    char path[64], status[4096];
    str_format(path, sizeof(path), "/proc/%.20s/status", pid);
    if (fd_read_file(AT_FDCWD, path, status, sizeof(status)) <= 0)
        return false; /* it has just ended */
    const char *state = strstr(status, "\nState:\t");
    *process = (struct process){
        .pid = atoi(pid),
        .parent = (int)field_of(status, "\nPPid:"),
        .state = state ? state[strlen("\nState:\t")] : '?',
        .id = (uint64_t)field_of(status, "\nUid:"), /* the real one comes first */
    };
    str_format(process->name, sizeof(process->name), "%.*s",
               (int)strcspn(status + strlen("Name:\t"), "\n"), status + strlen("Name:\t"));
    return true;
}

static bool is_ours(const struct footprint_ground *ground, int pid)
{
    bool ours = pid == getpid();
    for (size_t i = 0; i < FOOTPRINT_HELPERS; i++)
        ours = ours || (ground->helpers[i] > 0 && pid == ground->helpers[i]);
    return ours;
}

static bool is_known(const json_t *names, const char *name)
{
    size_t i;
    json_t *known;
    json_array_foreach((json_t *)names, i, known)
    {
        if (strcmp(json_string_value(known), name) == 0)
            return true;
    }
    return false;
}

static bool is_stray(const struct footprint_ground *ground, const json_t *names,
                     const struct process *process)
{
    char runner[NAME_MAX_LEN + 1];
    if (process->state == 'Z' && is_ours(ground, process->parent))
        return true; /* nobody has waited for it */
    if (process->id < ground->ids_first || process->id >= ground->ids_end)
        return false;
    return !ground->cgroup || !cgroup_runner_of(ground->cgroup, process->pid, runner) ||
           !is_known(names, runner);
}

struct group_search {
    const json_t *names;
    struct buf *text;
};

static void note_group(const char *name, void *data)
{
    const struct group_search *search = data;
    if (!is_known(search->names, name))
        buf_printf(search->text, "control group %s\n", name);
}

static json_t *list_strays(const struct footprint_ground *ground, const json_t *names)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct process process;
        if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name) &&
            read_process(entry->d_name, &process) && is_stray(ground, names, &process))
            buf_printf(&text, "process %d %s%s\n", process.pid, process.name,
                       process.state == 'Z' ? ", ended" : "");
    }
    if (folder)
        closedir(folder);
    struct group_search search = {.names = names, .text = &text};
    if (ground->cgroup)
        cgroup_each(ground->cgroup, note_group, &search);
    return take_lines(&text);
}

/* ---- mounts, descriptors, files ---- */

/* Of one process's mount namespace: where, and of which kind (proc(5)). */
static void add_mounts(struct buf *text, const char *whose, int pid)
{
    char path[64];
    str_format(path, sizeof(path), "/proc/%d/mountinfo", pid);
    FILE *mounts = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    while (mounts && getline(&line, &room, mounts) > 0) {
        const char *kind = strstr(line, " - ");
        char *rest = line, *where = NULL;
        for (int i = 0; rest && i < 5; i++)
            where = strsep(&rest, " ");
        if (where && kind)
            buf_printf(text, "%s %s %.*s\n", whose, where, (int)strcspn(kind + 3, " \n"), kind + 3);
    }
    free(line);
    if (mounts)
        fclose(mounts);
}

static json_t *list_mounts(const struct footprint_ground *ground)
{
    static const char *const whose[FOOTPRINT_HELPERS] = {"starter", "network"};
    struct buf text;
    buf_init(&text, TEXT_MAX);
    add_mounts(&text, "worker", getpid());
    for (size_t i = 0; i < FOOTPRINT_HELPERS; i++)
        if (ground->helpers[i] > 0)
            add_mounts(&text, whose[i], ground->helpers[i]);
    return take_lines(&text);
}

/* Entries of a folder and of those below; links are not followed. */
static int64_t count_entries(int take_fd, unsigned depth)
{
    DIR *folder = fdopendir(take_fd);
    int64_t count = 0;
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        int below =
            depth > 0 && entry->d_type == DT_DIR
                ? openat(take_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                : -1;
        if (below >= 0)
            count += count_entries(below, depth - 1);
    }
    closedir(folder);
    return count;
}

static int64_t count_in(const char *path, unsigned depth)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? 0 : count_entries(fd, depth);
}

static int64_t count_descriptors(const struct footprint_ground *ground)
{
    int64_t count = count_in("/proc/self/fd", 0) - 1; /* the folder's own */
    for (size_t i = 0; i < FOOTPRINT_HELPERS; i++) {
        char path[64];
        str_format(path, sizeof(path), "/proc/%d/fd", ground->helpers[i]);
        if (ground->helpers[i] > 0)
            count += count_in(path, 0);
    }
    return count;
}

/* ---- network ---- */

static void add_address(struct buf *text, const struct ifaddrs *at)
{
    char address[INET6_ADDRSTRLEN];
    const void *bytes = NULL;
    if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)at->ifa_addr)->sin_addr;
    else if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)->sin6_addr;
    if (bytes && inet_ntop(at->ifa_addr->sa_family, bytes, address, sizeof(address)))
        buf_printf(text, "%s %s\n", at->ifa_name, address);
}

static void list_network(json_t *object)
{
    struct buf interfaces, addresses, rules;
    struct ifaddrs *all = NULL;
    struct err err;
    buf_init(&interfaces, TEXT_MAX);
    buf_init(&addresses, TEXT_MAX);
    buf_init(&rules, TEXT_MAX);
    struct if_nameindex *names = if_nameindex();
    for (struct if_nameindex *at = names; at && at->if_name; at++)
        buf_printf(&interfaces, "%s\n", at->if_name);
    if (names)
        if_freenameindex(names);
    for (struct ifaddrs *at = getifaddrs(&all) == 0 ? all : NULL; at; at = at->ifa_next)
        add_address(&addresses, at);
    if (all)
        freeifaddrs(all);
    json_object_set_new(object, "interfaces", take_lines(&interfaces));
    json_object_set_new(object, "addresses", take_lines(&addresses));
    if (network_rules_show(&rules, &err) == 0) {
        json_object_set_new(object, "rules", take_lines(&rules));
        return;
    }
    buf_finish(&rules);
    json_object_set_new(object, "rules", json_null());
    json_object_set_new(object, "rulesWhy", line_of(err.msg, strlen(err.msg)));
}

/* ---- memory ---- */

static json_t *describe_memory(void)
{
    char text[8192] = "";
    char own[4096] = "";
    if (fd_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) <= 0 ||
        fd_read_file(AT_FDCWD, "/proc/self/status", own, sizeof(own)) <= 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I}", "shared", (json_int_t)field_of(text, "\nShmem:") * 1024,
                     "kernel", (json_int_t)field_of(text, "\nSUnreclaim:") * 1024, "worker",
                     (json_int_t)field_of(own, "\nVmRSS:") * 1024);
}

json_t *footprint_take(const struct footprint_ground *ground, const json_t *names, unsigned busy)
{
    json_t *object = json_object();
    json_object_set_new(object, "runners", json_integer((json_int_t)json_array_size(names)));
    json_object_set_new(object, "busy", json_integer(busy));
    json_object_set_new(object, "strays", list_strays(ground, names));
    json_object_set_new(object, "mounts", list_mounts(ground));
    list_network(object);
    json_object_set_new(object, "descriptors", json_integer(count_descriptors(ground)));
    json_object_set_new(object, "files", json_integer(count_in(ground->run_dir, 8)));
    json_object_set_new(object, "memory", describe_memory());
    return object;
}
