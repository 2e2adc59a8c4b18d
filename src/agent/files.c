#include "files.h"

#include "../common/fd.h"
#include "../common/mem.h"
#include "user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define INSIDE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

struct files_trace {
    struct files_trace *next;
    uint32_t flags;     /* AGENT_EXEC_ROOT */
    bool whole;         /* a folder with all that is in it */
    bool unless_ok;     /* stays when the program exits with 0 */
    const char *folder; /* both in text */
    const char *name;
    char text[];
};

void files_init(struct files *files)
{
    *files = (struct files){.fd = -1};
}

/* The file system sees this user from here to leave(); capabilities over files go with the uid. */
static void enter(struct user user)
{
    setfsgid(user.id);
    setfsuid(user.id);
}

static void leave(void)
{
    int kept = errno;
    setfsuid(0);
    setfsgid(0);
    errno = kept;
}

static int open_how(int folder, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

static int open_folder(const char *path, struct user user)
{
    if (path[0] == '\0')
        path = user.home;
    if (path[0] != '/') {
        errno = EINVAL;
        return -1;
    }
    /* A link of /proc would lead to what the agent has open, not to what the user may see. */
    return open_how(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
}

/* The length of the name's next component, 0 at its end; *name is moved past slashes. */
static size_t next_component(const char **name)
{
    *name += strspn(*name, "/");
    return strcspn(*name, "/");
}

static bool name_is_sane(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= PATH_MAX || name[0] == '/' || name[len - 1] == '/')
        return false;
    while ((len = next_component(&name)) > 0) {
        if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
            return false;
        name += len;
    }
    return true;
}

/* Opens the folder that holds the file of this name, below folder; with make, missing ones are
 * made. *base is the file's own name. Step by step, because mkdirat itself would follow links.
 */
static int open_parent(int folder, const char *name, bool make, const char **base)
{
    cleanup_close int at = fcntl(folder, F_DUPFD_CLOEXEC, 3);
    while (at >= 0) {
        char part[NAME_MAX + 1];
        size_t len = next_component(&name);
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (name[len] == '\0') {
            *base = name;
            return steal_fd(&at);
        }
        memcpy(part, name, len);
        part[len] = '\0';
        if (make && mkdirat(at, part, 0755) != 0 && errno != EEXIST)
            return -1;
        int below = open_how(at, part, O_PATH | O_DIRECTORY, 0, INSIDE);
        fd_close(&at);
        at = below;
        name += len;
    }
    return -1;
}

/* As the file's user: the open and emptied file, or -1. */
static int create(int folder, const char *name, mode_t mode)
{
    const char *base;
    cleanup_close int parent = open_parent(folder, name, true, &base);
    if (parent < 0)
        return -1;
    /* Not blocking, for a fifo of that name has perhaps no reader; and nothing but a regular file
     * is emptied or written.
     */
    cleanup_close int fd =
        open_how(parent, base, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0600, INSIDE);
    if (fd < 0)
        return -1;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    if (ftruncate(fd, 0) != 0 || fchmod(fd, mode) != 0)
        return -1;
    return steal_fd(&fd);
}

/* What it takes to remove folder/name later, or NULL. */
static struct files_trace *trace_of(const struct files *files, uint32_t flags, const char *folder,
                                    const char *name)
{
    if (files->trace_count == FILES_UNLINK_MAX) {
        errno = E2BIG;
        return NULL;
    }
    size_t folder_size = strlen(folder) + 1, name_size = strlen(name) + 1;
    struct files_trace *trace = malloc(sizeof(*trace) + folder_size + name_size);
    if (!trace)
        return NULL;
    memcpy(trace->text, folder, folder_size);
    memcpy(trace->text + folder_size, name, name_size);
    trace->folder = trace->text;
    trace->name = trace->text + folder_size;
    trace->flags = flags;
    trace->whole = trace->unless_ok = false;
    return trace;
}

static void keep_trace(struct files *files, struct files_trace *take_trace)
{
    take_trace->next = files->traces;
    files->traces = take_trace;
    files->trace_count++;
}

int files_begin(struct files *files, const struct agent_file *msg)
{
    files_end(files);
    if (!name_is_sane(msg->name)) {
        errno = EINVAL;
        return -1;
    }
    cleanup_free struct files_trace *trace = NULL;
    if (msg->unlink_after && !(trace = trace_of(files, msg->flags, msg->folder, msg->name)))
        return -1;
    struct user user = user_of(msg->flags);
    enter(user);
    cleanup_close int folder = open_folder(msg->folder, user);
    if (folder >= 0)
        files->fd = create(folder, msg->name, (mode_t)msg->mode);
    leave();
    if (files->fd < 0)
        return -1;
    if (trace)
        keep_trace(files, steal_ptr(trace));
    return 0;
}

int files_make_folder(struct files *files, const struct agent_folder *msg)
{
    if (!name_is_sane(msg->name) || strchr(msg->name, '/')) {
        errno = EINVAL;
        return -1;
    }
    cleanup_free struct files_trace *trace = trace_of(files, msg->flags, msg->folder, msg->name);
    if (!trace)
        return -1;
    struct user user = user_of(msg->flags);
    enter(user);
    cleanup_close int folder = open_folder(msg->folder, user);
    int made = folder < 0 ? -1 : mkdirat(folder, msg->name, 0755);
    leave();
    if (made != 0 && (folder < 0 || errno != EEXIST))
        return -1;
    trace->whole = true;
    trace->unless_ok = msg->end == AGENT_FOLDER_REMOVE_FAILED;
    keep_trace(files, steal_ptr(trace));
    return 0;
}

int files_write(struct files *files, const void *data, size_t len)
{
    return fd_write_all(files->fd, data, len);
}

void files_end(struct files *files)
{
    fd_close(&files->fd);
}

/* Removes parent/name with what is in it, as far as *entries and depth allow: this is PID 1, which
 * other operations wait for, and the program decides how much there is.
 */
static void remove_whole(int parent, const char *name, unsigned *entries, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || depth == 0)
        return;
    int fd = open_how(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, INSIDE);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        fd_close(&fd);
        return;
    }
    for (struct dirent *entry; *entries > 0 && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        --*entries;
        remove_whole(fd, entry->d_name, entries, depth - 1);
    }
    closedir(folder);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_trace(const struct files_trace *trace)
{
    struct user user = user_of(trace->flags);
    const char *base;
    unsigned entries = FILES_REMOVE_MAX;
    enter(user);
    cleanup_close int folder = open_folder(trace->folder, user);
    cleanup_close int parent = folder < 0 ? -1 : open_parent(folder, trace->name, false, &base);
    if (parent >= 0 && trace->whole)
        remove_whole(parent, base, &entries, FILES_REMOVE_DEPTH);
    else if (parent >= 0)
        unlinkat(parent, base, 0); /* the program may have removed it itself */
    leave();
}

void files_finish(struct files *files)
{
    files_end(files);
    while (files->traces) {
        struct files_trace *trace = files->traces;
        files->traces = trace->next;
        if (!files->ok || !trace->unless_ok)
            remove_trace(trace);
        free(trace);
    }
    files->trace_count = 0;
}
