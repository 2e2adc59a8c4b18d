#include "logs.h"

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

static int open_file(struct logs *logs, struct err *err)
{
    logs->fd = open(logs->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat st;
    if (logs->fd < 0 || fstat(logs->fd, &st) != 0)
        return err_sys(err, ERR_INTERNAL, errno, "cannot write the log %s", logs->path);
    logs->size = st.st_size;
    return 0;
}

int logs_open(struct logs *logs, struct screen *screen, const char *state_dir, struct err *err)
{
    *logs = (struct logs){.screen = screen, .fd = -1};
    if (!screen->terminal) {
        logs->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        return logs->fd < 0 ? err_sys(err, ERR_INTERNAL, errno, "stderr") : 0;
    }
    if (!str_format(logs->path, sizeof(logs->path), "%s/log", state_dir) ||
        fd_mkdirs(logs->path, 0750, err) != 0 ||
        !str_format(logs->path, sizeof(logs->path), "%s/log/codeland.log", state_dir))
        return -1;
    return open_file(logs, err);
}

void logs_close(struct logs *logs)
{
    fd_close(&logs->fd);
}

static void keep_small(struct logs *logs)
{
    if (!logs->path[0] || logs->size < LOGS_FILE_MAX_BYTES)
        return;
    char old[PATH_MAX + 4];
    struct err ignored;
    str_format(old, sizeof(old), "%s.1", logs->path);
    if (rename(logs->path, old) == 0) {
        fd_close(&logs->fd);
        open_file(logs, &ignored);
    }
}

/* The next `key=value` of a log line, where value may be quoted; false at the end or when it is no
 * log line from here on.
 */
static bool next_field(const char **at, const char **key, int *key_len, const char **value,
                       int *value_len)
{
    const char *text = *at + strspn(*at, " ");
    size_t len = strcspn(text, "= \"");
    if (len == 0 || text[len] != '=')
        return false;
    *key = text;
    *key_len = (int)len;
    *value = text + len + 1;
    const char *end = *value;
    if (*end == '"') {
        for (end++; *end && *end != '"'; end++)
            if (*end == '\\' && end[1])
                end++;
        if (*end == '"')
            end++;
    } else {
        end += strcspn(end, " ");
    }
    *value_len = (int)(end - *value);
    *at = end;
    return true;
}

static bool is(const char *text, int len, const char *wanted)
{
    return (size_t)len == strlen(wanted) && strncmp(text, wanted, (size_t)len) == 0;
}

bool logs_shorten(const char *line, char *text, size_t room)
{
    const char *at = line, *key, *value;
    int key_len, value_len;
    bool matters = false;
    struct buf out;
    buf_init(&out, room - 1);
    if (!str_starts_with(line, "level=")) {
        snprintf(text, room, "%s", line);
        return line[0] != '\0';
    }
    while (next_field(&at, &key, &key_len, &value, &value_len)) {
        bool quoted = value_len >= 2 && value[0] == '"';
        if (is(key, key_len, "level"))
            matters = !is(value, value_len, "info") && !is(value, value_len, "debug");
        else if (is(key, key_len, "event"))
            buf_printf(&out, "%.*s", value_len - 2 * quoted, value + quoted);
        else if (!is(key, key_len, "time") && !is(key, key_len, "program"))
            buf_printf(&out, "  %.*s=%.*s", key_len, key, value_len, value);
    }
    snprintf(text, room, "%s", out.data ? out.data : "");
    buf_finish(&out);
    return matters;
}

static void show(struct logs *logs, const char *name, const char *text)
{
    mono_us now = clock_now(logs->screen->clock);
    if (now - logs->second >= US_PER_SEC) {
        if (logs->hidden)
            screen_event(logs->screen, SCREEN_NOTE, "%u more lines in %s", logs->hidden,
                         logs->path);
        logs->second = now;
        logs->shown = logs->hidden = 0;
    }
    if (logs->shown++ < LOGS_SHOWN_PER_SECOND)
        screen_event(logs->screen, SCREEN_NOTE, "%s: %s", name, text);
    else
        logs->hidden++;
}

void logs_take(struct logs *logs, const char *name, const char *line)
{
    char text[LOGS_TEXT_MAX];
    struct iovec parts[] = {{(void *)line, strlen(line)}, {(void *)"\n", 1}};
    ssize_t written = logs->fd >= 0 ? writev(logs->fd, parts, 2) : 0;
    if (written > 0)
        logs->size += written;
    keep_small(logs);
    if (logs->path[0] && logs_shorten(line, text, sizeof(text)))
        show(logs, name, text);
}
