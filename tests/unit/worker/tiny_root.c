#include "tiny_root.h"

#include "../../../src/common/agent_wire.h"
#include "../../../src/common/fd.h"
#include "../../../src/common/mem.h"
#include "../../../src/common/str.h"
#include "../../../src/common/template.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static const char *const programs[] = {"sh",    "cat",   "head", "id",   "ls",
                                       "mkdir", "sleep", "stat", "tail", "yes"};

static const char *inside(const char *root, const char *path)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *at = paths[next++ % 4];
    assert_true(str_format(at, PATH_MAX, "%s%s", root, path));
    return at;
}

static void make_folder(const char *root, const char *path, mode_t mode)
{
    struct err err;
    assert_ok(fd_mkdirs(inside(root, path), mode, &err), err);
}

/* Links are followed: the copy is a file at the link's place. */
static void copy(const char *root, const char *path)
{
    char folder[PATH_MAX];
    struct stat st;
    assert_true(str_format(folder, sizeof(folder), "%s", path));
    *strrchr(folder, '/') = '\0';
    make_folder(root, folder, 0755);
    cleanup_close int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0 || fstat(from, &st) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    cleanup_close int to = open(inside(root, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t sent = sendfile(to, from, NULL, (size_t)left);
        if (sent <= 0)
            fail_msg("copy %s: %s", path, strerror(errno));
        left -= sent;
    }
}

/* Lines of ldd(1): "libc.so.6 => /lib/.../libc.so.6 (0x...)", "/lib64/ld-linux... (0x...)". */
static void copy_with_libraries(const char *root, const char *path)
{
    char command[PATH_MAX + 16], line[PATH_MAX + 256];
    copy(root, path);
    assert_true(str_format(command, sizeof(command), "ldd %s", path));
    FILE *list = popen(command, "re");
    assert_non_null(list);
    while (fgets(line, sizeof(line), list)) {
        char *at = strchr(line, '/');
        if (at) {
            at[strcspn(at, " \n")] = '\0';
            copy(root, at);
        }
    }
    assert_int_equal(pclose(list), 0);
}

void tiny_root_make(const char *state_dir, const char *name)
{
    char root[PATH_MAX], path[PATH_MAX];
    static const char *const folders[] = {"/dev",           "/etc",         "/proc",
                                          "/run",           "/sys",         "/bin",
                                          AGENT_SOCKET_DIR, "/usr/libexec", "/home/runner"};
    assert_true(template_path(root, sizeof(root), state_dir, name, "rootfs"));
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        make_folder(root, folders[i], 0755);
    make_folder(root, "/root", 0700);
    make_folder(root, "/tmp", 01777);
    assert_int_equal(chown(inside(root, "/home/runner"), 1000, 1000), 0);
    scratch_write(inside(root, AGENT_PATH), "");
    scratch_write(inside(root, "/etc/passwd"), "root:x:0:0::/root:/bin/sh\n"
                                               "runner:x:1000:1000::/home/runner:/bin/sh\n");
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        str_format(path, sizeof(path), "/bin/%s", programs[i]);
        copy_with_libraries(root, path);
    }
    assert_true(template_path(path, sizeof(path), state_dir, name, "template.json"));
    scratch_write(path,
                  "{\"name\":\"base\",\"format\":1,\"description\":\"tiny\",\"from\":\"here\","
                  "\"made\":\"now\",\"sizeBytes\":1,\"packages\":[]}");
}
