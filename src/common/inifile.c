#include "inifile.h"

#include "fd.h"
#include "mem.h"
#include "str.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#define LINE_BYTES 1000
#define LINE_BYTES_TEXT "1000"

/* How it works. inih splits lines into sections, keys and values, but left alone it cuts a line at
 * 200 bytes and reads on in its middle, takes an indented line for more of the value above it, and
 * drops what follows a "]". So it gets its lines from next_line, which refuses those.
 */
struct parse {
    inifile_value_cb on_value;
    void *data;
    struct err *err;
    const char *at; /* what is left of the text */
    int line;       /* the number of the last line that was handed out */
    bool failed;    /* err is set; at is of no more interest */
};

static char *refuse_line(struct parse *parse, const char *why)
{
    err_set(parse->err, ERR_BAD_REQUEST, "%s", why);
    parse->failed = true;
    return NULL;
}

static char *next_line(char *line, int room, void *stream)
{
    struct parse *parse = stream;
    if (parse->failed || *parse->at == '\0')
        return NULL;
    parse->line++;
    size_t len = strcspn(parse->at, "\n");
    size_t indent = strspn(parse->at, " \t");
    const char *text = parse->at + (indent < len ? indent : len);
    size_t text_len = len - (size_t)(text - parse->at);
    if (text_len >= (size_t)room)
        return refuse_line(parse, "the line is longer than " LINE_BYTES_TEXT " bytes");
    memcpy(line, text, text_len);
    line[text_len] = '\0';
    parse->at += len + (parse->at[len] == '\n');
    char *end = line[0] == '[' ? strchr(line, ']') : NULL;
    if (end && !strchr(";#", end[1 + strspn(end + 1, " \t\r")])) /* a NUL is found too */
        return refuse_line(parse, "something stands after the section's ]");
    return line;
}

static int on_value(void *user, const char *section, const char *key, const char *value)
{
    struct parse *parse = user;
    if (parse->on_value(section, key, value ? value : "", parse->line, parse->data, parse->err))
        parse->failed = true;
    return !parse->failed;
}

int inifile_parse(const char *text, const char *name, inifile_value_cb call, void *data,
                  struct err *err)
{
    ini_max_line = LINE_BYTES + 1; /* these are inih's, process-wide */
    ini_initial_alloc = LINE_BYTES + 1;
    ini_use_stack = false; /* its stack buffer does not grow with ini_max_line */
    ini_stop_on_first_error = true;
    struct parse parse = {.on_value = call, .data = data, .err = err, .at = text};
    if (str_starts_with(text, "\xEF\xBB\xBF")) /* the mark that some editors put first */
        parse.at += 3;
    int line = ini_parse_stream(next_line, &parse, on_value, &parse);
    if (line < 0)
        mem_exhausted();
    if (line > 0 && !parse.failed)
        err_set(err, ERR_BAD_REQUEST, "neither a [section], a key = value nor a comment");
    if (line > 0 || parse.failed)
        return err_context(err, "%s:%d", name, parse.line);
    return 0;
}

char *inifile_read(const char *path, struct err *err)
{
    cleanup_free char *text = mem_calloc(1, INIFILE_BYTES_MAX + 1);
    ssize_t len = fd_read_file(AT_FDCWD, path, text, INIFILE_BYTES_MAX + 1);
    if (len < 0) {
        err_sys(err, ERR_BAD_REQUEST, errno, "cannot read %s", path);
        return NULL;
    }
    if (strlen(text) != (size_t)len) {
        int line = 1;
        for (const char *c = text; *c; c++)
            line += *c == '\n';
        err_set(err, ERR_BAD_REQUEST, "%s:%d: there is a NUL byte in this line", path, line);
        return NULL;
    }
    return steal_ptr(text);
}
