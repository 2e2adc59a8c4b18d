/* How it works. A pattern is followed component by component with openat2, which neither leaves the
 * working directory nor goes through a link, whatever a program that still runs puts in its place
 * meanwhile. What the last component matches is opened first and judged by fstat of what was
 * opened. Names within a folder go in order, and everything is counted: entries looked at, files,
 * bytes.
 */
#include "collect.h"

#include "../common/agent_wire.h"
#include "../common/fd.h"
#include "../common/glob.h"
#include "../common/mem.h"
#include "../common/path.h"
#include "../common/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LOOK_MAX 100000 /* entries of folders, all patterns together */
#define MATCH_MAX 4096  /* of one pattern in one folder */
#define FILES_MAX 1024

enum { EXIT_USAGE = 64, EXIT_OUTPUT = 74 };

struct collector {
    int64_t bytes_left, files_left;
    unsigned looks_left;
    bool cut, broken;      /* there was more; standard output is over */
    char *done[FILES_MAX]; /* paths already told */
    unsigned done_count;
};

struct names {
    char *list[MATCH_MAX];
    unsigned count;
};

static void put_frame(struct collector *self, uint8_t type, const void *payload, size_t len)
{
    unsigned char header[FRAME_HEADER_LEN];
    frame_put_header(header, type, 0, (uint32_t)len);
    self->broken = self->broken || fd_write_all(STDOUT_FILENO, header, sizeof(header)) != 0 ||
                   fd_write_all(STDOUT_FILENO, payload, len) != 0;
}

static void put_found(struct collector *self, enum agent_found_kind kind, const struct stat *st,
                      const char *path)
{
    unsigned char payload[8192];
    const struct agent_found found = {
        .kind = kind,
        .mode = st->st_mode & 0777,
        .size_bytes =
            kind == AGENT_FOUND_FILE || kind == AGENT_FOUND_TOO_LARGE ? (uint64_t)st->st_size : 0,
        .path = path,
    };
    put_frame(self, FRAME_AGENT_FOUND, payload,
              agent_found_encode(&found, payload, sizeof(payload)));
}

/* No more than it had when it was looked at: it may grow for ever. */
static void put_content(struct collector *self, int fd, int64_t size)
{
    static char piece[32768];
    while (size > 0 && !self->broken) {
        size_t want = size < (int64_t)sizeof(piece) ? (size_t)size : sizeof(piece);
        ssize_t got = read(fd, piece, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        put_frame(self, FRAME_FILE_DATA, piece, (size_t)got);
        size -= got;
        self->bytes_left -= got;
    }
}

static int open_inside(int folder, const char *name, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

static bool is_done(const struct collector *self, const char *path)
{
    for (unsigned i = 0; i < self->done_count; i++)
        if (strcmp(self->done[i], path) == 0)
            return true;
    return false;
}

static enum agent_found_kind kind_of_failure(void)
{
    if (errno == ELOOP)
        return AGENT_FOUND_LINK;
    return errno == ENXIO ? AGENT_FOUND_SPECIAL : AGENT_FOUND_UNREADABLE;
}

static enum agent_found_kind kind_of(const struct collector *self, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return AGENT_FOUND_FOLDER;
    if (!S_ISREG(st->st_mode))
        return AGENT_FOUND_SPECIAL;
    return st->st_size > self->bytes_left ? AGENT_FOUND_TOO_LARGE : AGENT_FOUND_FILE;
}

static void tell(struct collector *self, int folder, const char *name, const char *path)
{
    struct stat st = {0};
    if (is_done(self, path))
        return;
    /* Not blocking: it may be a fifo. */
    cleanup_close int fd = open_inside(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return;
    enum agent_found_kind kind = fd < 0 ? kind_of_failure() : AGENT_FOUND_UNREADABLE;
    if (self->files_left == 0 || !path_is_inside(path, strlen(path))) {
        self->cut = true;
        return;
    }
    if (fd >= 0 && fstat(fd, &st) == 0)
        kind = kind_of(self, &st);
    self->files_left--;
    self->done[self->done_count++] = mem_strdup(path);
    put_found(self, kind, &st, path);
    if (kind == AGENT_FOUND_FILE)
        put_content(self, fd, st.st_size);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_names(struct collector *self, int folder, const char *pattern, struct names *names)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        fd_close(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (self->looks_left == 0 || names->count == MATCH_MAX) {
            self->cut = true;
            break;
        }
        self->looks_left--;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            glob_match(pattern, entry->d_name))
            names->list[names->count++] = mem_strdup(entry->d_name);
    }
    closedir(entries);
    qsort(names->list, names->count, sizeof(names->list[0]), compare);
}

static void follow(struct collector *self, int folder, const char *before, const char *pattern);

/* One name that the pattern's first component is, or matches; rest: the components after it. */
static void enter(struct collector *self, int folder, const char *before, const char *name,
                  const char *rest)
{
    char path[PATH_INSIDE_MAX + 1];
    if (!str_format(path, sizeof(path), "%s%s%s", before, before[0] ? "/" : "", name)) {
        self->cut = true;
        return;
    }
    if (!rest) {
        tell(self, folder, name, path);
        return;
    }
    cleanup_close int below = open_inside(folder, name, O_PATH | O_DIRECTORY);
    if (below >= 0)
        follow(self, below, path, rest);
}

static void follow(struct collector *self, int folder, const char *before, const char *pattern)
{
    char part[PATH_PART_MAX + 1];
    size_t len = strcspn(pattern, "/");
    const char *rest = pattern[len] ? pattern + len + 1 : NULL;
    if (self->broken || !str_format(part, sizeof(part), "%.*s", (int)len, pattern))
        return;
    if (!glob_is_pattern(part)) {
        enter(self, folder, before, part, rest);
        return;
    }
    struct names *names = mem_new(struct names);
    read_names(self, folder, part, names);
    for (unsigned i = 0; i < names->count; i++) {
        if (!self->broken)
            enter(self, folder, before, names->list[i], rest);
        free(names->list[i]);
    }
    free(names);
}

int collect_main(int argc, char **argv)
{
    static struct collector self = {.looks_left = LOOK_MAX};
    unsigned char payload[64];
    if (argc < 2 || !str_to_int(argv[0], 0, INT64_MAX, &self.bytes_left) ||
        !str_to_int(argv[1], 0, FILES_MAX, &self.files_left))
        return EXIT_USAGE;
    cleanup_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 2; i < argc && here >= 0; i++)
        if (path_is_inside(argv[i], strlen(argv[i])))
            follow(&self, here, "", argv[i]);
    const struct agent_collected end = {.cut = self.cut};
    put_frame(&self, FRAME_AGENT_COLLECTED, payload,
              agent_collected_encode(&end, payload, sizeof(payload)));
    return self.broken ? EXIT_OUTPUT : 0;
}
