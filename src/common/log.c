#include "log.h"

#include "buf.h"
#include "clock.h"
#include "str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static const char *program = "codeland";
static enum log_level least = LOG_INFO;

void log_init(const char *name, enum log_level level)
{
    program = name;
    least = level;
}

/* logfmt: bare when it has neither blank, quote nor '='; else quoted, with \xNN for bytes that
 * could move a terminal's cursor or fake a second line.
 */
static void put_value(struct buf *line, const char *text)
{
    bool bare = text[0] != '\0';
    for (const char *c = text; *c && bare; c++)
        bare = (unsigned char)*c > ' ' && *c != '"' && *c != '=' && *c != '\\' && *c != 0x7F;
    if (bare) {
        buf_append_str(line, text);
        return;
    }
    buf_append_str(line, "\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_printf(line, "\\%c", *c);
        else if (*c == '\n')
            buf_append_str(line, "\\n");
        else if ((unsigned char)*c < ' ' || *c == 0x7F)
            buf_printf(line, "\\x%02x", (unsigned char)*c);
        else
            buf_append(line, c, 1);
    }
    buf_append_str(line, "\"");
}

static void put_time(struct buf *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, " time=%s.%03dZ", text, (int)(now_ms % 1000));
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    if (level < least)
        return;
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    buf_printf(&line, "level=%s", levels[level]);
    put_time(&line);
    buf_printf(&line, " program=%s event=", program);
    put_value(&line, event);
    for (const struct log_field *field = fields; field->key; field++) {
        buf_printf(&line, " %s=", field->key);
        if (field->kind == LOG_FIELD_INT)
            buf_printf(&line, "%" PRId64, field->number);
        else if (field->kind == LOG_FIELD_SECRET)
            buf_append_str(&line, "***");
        else
            put_value(&line, field->string ? field->string : "");
    }
    if (!buf_append_str(&line, "\n"))
        line.data[line.len - 1] = '\n';
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; /* nowhere left to complain */
    buf_finish(&line);
}
