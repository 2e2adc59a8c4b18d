#include "screen.h"

#include "../common/fd.h"
#include "../common/str.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define TEXT_MAX 1024
#define LINE_MAX 2048

#define SAY_AGAIN_US (5 * (mono_us)US_PER_SEC)

#define CLEAR_LINE "\r\x1b[K"
#define GREEN "\x1b[32m"
#define RED "\x1b[31m"
#define BOLD "\x1b[1m"
#define DIM "\x1b[2m"
#define PLAIN "\x1b[0m"

static unsigned terminal_width(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void screen_init(struct screen *screen, int fd)
{
    memset(screen, 0, sizeof(*screen));
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    screen->fd = fd;
    screen->terminal = isatty(fd) && term && strcmp(term, "dumb") != 0;
    screen->clock = &clock_system;
    setlocale(LC_CTYPE, "");
    screen->look.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    screen->look.colour = screen->terminal && !(no_color && no_color[0]);
}

/* A terminal that is gone must not stop a supervisor. */
static void put(const struct screen *screen, const char *text)
{
    int written = fd_write_all(screen->fd, text, strlen(text));
    (void)written;
}

static void hide_control_bytes(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F)
            *c = '?';
}

static void format(char *text, size_t room, const char *fmt, va_list args)
{
    vsnprintf(text, room, fmt, args);
    hide_control_bytes(text);
}

static const char *colour(const struct screen *screen, const char *code)
{
    return screen->look.colour ? code : "";
}

static void draw(struct screen *screen)
{
    char line[PROGRESS_LINE_MAX], text[PROGRESS_LINE_MAX + 16];
    screen->look.width = terminal_width(screen->fd);
    screen->step.elapsed_us = screen_elapsed(screen);
    progress_render(line, sizeof(line), &screen->step, &screen->look);
    str_format(text, sizeof(text), CLEAR_LINE "%s", line);
    put(screen, text);
}

/* A whole line, above the moving step. */
static void put_line(struct screen *screen, const char *line)
{
    char text[LINE_MAX + 64];
    str_format(text, sizeof(text), "%s%s\n", screen->terminal && screen->moving ? CLEAR_LINE : "",
               line);
    put(screen, text);
    screen_tick(screen);
}

mono_us screen_elapsed(const struct screen *screen)
{
    return clock_now(screen->clock) - screen->since;
}

void screen_tick(struct screen *screen)
{
    if (screen->moving && screen->terminal)
        draw(screen);
}

void screen_begin(struct screen *screen, const char *label, const char *detail)
{
    str_format(screen->label, sizeof(screen->label), "%s", label);
    screen->said[0] = '\0';
    screen->step = (struct progress){.label = screen->label, .detail = screen->detail};
    screen->since = clock_now(screen->clock);
    screen->moving = true;
    screen_step(screen, PROGRESS_UNKNOWN, detail);
}

/* Up to the first word's end. */
static bool same_work(const char *a, const char *b)
{
    size_t len = strcspn(a, " ");
    return len == strcspn(b, " ") && strncmp(a, b, len) == 0;
}

void screen_step(struct screen *screen, int percent, const char *detail)
{
    screen->step.percent = percent;
    snprintf(screen->detail, sizeof(screen->detail), "%s", detail);
    hide_control_bytes(screen->detail);
    if (screen->terminal) {
        draw(screen);
        return;
    }
    mono_us now = clock_now(screen->clock);
    if (!detail[0] || strcmp(screen->detail, screen->said) == 0 ||
        (same_work(screen->detail, screen->said) && now - screen->said_at < SAY_AGAIN_US))
        return;
    screen->said_at = now;
    memcpy(screen->said, screen->detail, sizeof(screen->said));
    char elapsed[24], share[16] = "";
    progress_duration(elapsed, sizeof(elapsed), screen_elapsed(screen));
    if (percent != PROGRESS_UNKNOWN)
        str_format(share, sizeof(share), "%d %%, ", percent);
    screen_say(screen, "%s: %s (%s%s)", screen->label, screen->detail, share, elapsed);
}

static void finish(struct screen *screen, bool good, const char *fmt, va_list args)
{
    char text[TEXT_MAX], line[LINE_MAX];
    format(text, sizeof(text), fmt, args);
    const char *glyph = good ? (screen->look.utf8 ? "✓" : "+") : (screen->look.utf8 ? "✗" : "!");
    if (screen->terminal)
        snprintf(line, sizeof(line), CLEAR_LINE "  %s%s%s %-10s %s\n",
                 colour(screen, good ? GREEN : RED), glyph, colour(screen, PLAIN), screen->label,
                 text);
    else
        snprintf(line, sizeof(line), "%s: %s%s\n", screen->label, good ? "" : "failed: ", text);
    screen->moving = false;
    put(screen, line);
}

void screen_done(struct screen *screen, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    finish(screen, true, fmt, args);
    va_end(args);
}

void screen_failed(struct screen *screen, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    finish(screen, false, fmt, args);
    va_end(args);
}

void screen_say(struct screen *screen, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    put_line(screen, text);
}

void screen_event(struct screen *screen, enum screen_kind kind, const char *fmt, ...)
{
    static const char *const colours[] = {
        [SCREEN_NOTE] = "", [SCREEN_GOOD] = GREEN, [SCREEN_BAD] = RED};
    char text[TEXT_MAX], line[LINE_MAX], now[16];
    va_list args;
    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    time_t seconds = time(NULL);
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(now, sizeof(now), "%H:%M:%S", &local);
    snprintf(line, sizeof(line), "  %s%s%s  %s%s%s", colour(screen, DIM), now,
             colour(screen, PLAIN), colour(screen, colours[kind]), text, colour(screen, PLAIN));
    put_line(screen, line);
}

void screen_fact(struct screen *screen, const char *name, const char *fmt, ...)
{
    char text[TEXT_MAX], line[LINE_MAX];
    va_list args;
    va_start(args, fmt);
    format(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(line, sizeof(line), "  %-10s %s%s%s", name, colour(screen, BOLD), text,
             colour(screen, PLAIN));
    put_line(screen, line);
}
