#include "log.h"

#include "buf.h"
#include "clock.h"
#include "str.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096

static const char *program = "codeland";
static enum log_level least = LOG_INFO;

void log_init(const char *name, enum log_level level)
{
    program = name;
    least = level;
}

/* A line that grew too long stops where it is, rather than with holes in it. */
static void put(struct buf *line, const char *text, size_t len)
{
    if (!buf_append(line, text, len))
        line->cap = line->len;
}

static void put_str(struct buf *line, const char *text)
{
    put(line, text, strlen(text));
}

/* How many bytes at text may stand in the log as they are: a character, but no control character
 * (those of C1 move a cursor too) and nothing that is not UTF-8. 0: none.
 */
static size_t plain(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;
    if (first < ' ' || first == 0x7F || (first == 0xC2 && second < 0xA0))
        return 0;
    for (size_t len = 1; len <= 4; len++)
        if (str_utf8_valid(text, len) == len)
            return len;
    return 0;
}

/* logfmt: bare when it has neither blank, quote nor '='; else quoted, with \xNN for bytes that
 * could move a terminal's cursor or fake a second line.
 */
static void put_value(struct buf *line, const char *text)
{
    bool bare = text[0] != '\0';
    for (const char *c = text; *c && bare; c += plain(c))
        bare = plain(c) && !strchr(" \"=\\", *c);
    if (!bare)
        put_str(line, "\"");
    for (size_t len; *text; text += len) {
        char escape[8];
        len = plain(text);
        if (len > 0 && *text != '"' && *text != '\\') {
            put(line, text, len);
            continue;
        }
        len = 1;
        if (*text == '"' || *text == '\\')
            str_format(escape, sizeof(escape), "\\%c", *text);
        else if (*text == '\n')
            str_format(escape, sizeof(escape), "\\n");
        else
            str_format(escape, sizeof(escape), "\\x%02x", (unsigned char)*text);
        put_str(line, escape);
    }
    if (!bare)
        put_str(line, "\"");
}

static void put_time(struct buf *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[32], stamp[64];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    str_format(stamp, sizeof(stamp), " time=%s.%03dZ", text, (int)(now_ms % 1000));
    put_str(line, stamp);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    if (level < least)
        return;
    struct buf line;
    buf_init(&line, LINE_BYTES - 1);
    put_str(&line, "level=");
    put_str(&line, levels[level]);
    put_time(&line);
    put_str(&line, " program=");
    put_value(&line, program);
    put_str(&line, " event=");
    put_value(&line, event);
    for (const struct log_field *field = fields; field->key; field++) {
        char number[24];
        put_str(&line, " ");
        put_str(&line, field->key);
        put_str(&line, "=");
        if (field->kind == LOG_FIELD_INT) {
            str_format(number, sizeof(number), "%" PRId64, field->number);
            put_str(&line, number);
        } else if (field->kind == LOG_FIELD_SECRET) {
            put_str(&line, "***");
        } else {
            put_value(&line, field->string ? field->string : "");
        }
    }
    line.cap = LINE_BYTES;
    buf_append_str(&line, "\n");
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; /* nowhere left to complain */
    buf_finish(&line);
}
