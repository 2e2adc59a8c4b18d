#include "json_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ESCAPE_MAX 6 /* \u001f */

static void put(struct json_writer *json, const char *text)
{
    buf_append_str(json->buf, text);
}

static void put_escaped(struct json_writer *json, const char *text)
{
    size_t len = strlen(text), at = 0;
    char piece[256];
    put(json, "\"");
    while (at < len) {
        size_t used;
        size_t written = json_escape(text + at, len - at, true, piece, sizeof(piece), &used);
        buf_append(json->buf, piece, written);
        at += used;
    }
    put(json, "\"");
}

static void begin(struct json_writer *json, const char *key)
{
    if (json->comma)
        put(json, ",");
    json->comma = true;
    if (key) {
        put_escaped(json, key);
        put(json, ":");
    }
}

void json_open(struct json_writer *json, char bracket)
{
    json_put_open(json, NULL, bracket);
}

void json_put_open(struct json_writer *json, const char *key, char bracket)
{
    begin(json, key);
    buf_append(json->buf, &bracket, 1);
    json->comma = false;
}

void json_close(struct json_writer *json, char bracket)
{
    buf_append(json->buf, &bracket, 1);
    json->comma = true;
}

void json_put_text(struct json_writer *json, const char *key, const char *text)
{
    begin(json, key);
    put_escaped(json, text);
}

void json_put_text_or_null(struct json_writer *json, const char *key, const char *text)
{
    if (text[0])
        json_put_text(json, key, text);
    else
        json_put_null(json, key);
}

void json_put_int(struct json_writer *json, const char *key, int64_t number)
{
    char text[24];
    begin(json, key);
    snprintf(text, sizeof(text), "%" PRId64, number);
    put(json, text);
}

void json_put_ms(struct json_writer *json, const char *key, double ms)
{
    char text[40];
    begin(json, key);
    int len = snprintf(text, sizeof(text), "%.3f", ms);
    while (len > 1 && text[len - 1] == '0')
        text[--len] = '\0';
    if (len > 1 && text[len - 1] == '.')
        text[--len] = '\0';
    put(json, text);
}

void json_put_bool(struct json_writer *json, const char *key, bool value)
{
    begin(json, key);
    put(json, value ? "true" : "false");
}

void json_put_null(struct json_writer *json, const char *key)
{
    begin(json, key);
    put(json, "null");
}

/* What a byte is at the start of a character: itself, to be escaped, or the head of a sequence. */
static bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

/* How many of the first `most` bytes are plain. Eight at a time: this is where most of the time
 * goes that output takes in the manager. A byte of a word that is below n, or equal to c, shows in
 * the byte's highest bit; one that is not may show too, but only behind one that is.
 */
static size_t plain_run(const unsigned char *bytes, size_t most)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t run = 0;
    for (uint64_t word; run + sizeof(word) <= most; run += sizeof(word)) {
        memcpy(&word, bytes + run, sizeof(word));
        uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
        uint64_t odd = word | ((word - ones * ' ') & ~word) | ((quote - ones) & ~quote) |
                       ((backslash - ones) & ~backslash);
        if (odd & high)
            break;
    }
    while (run < most && is_plain(bytes[run]))
        run++;
    return run;
}

static size_t escape_byte(unsigned char c, char *out)
{
    static const char shorts[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    out[0] = '\\';
    out[1] = c >= ' ' ? (char)c : shorts[c];
    if (out[1])
        return 2;
    memcpy(out + 1, "u00", 3);
    out[4] = "0123456789abcdef"[c >> 4];
    out[5] = "0123456789abcdef"[c & 15];
    return 6;
}

/* The sequence that begins with a byte from 0x80 up. *valid when it is whole; otherwise the return
 * value is the length of its maximal subpart, at least 1. *cut when only the end of text is to
 * blame. The table is RFC 3629, section 4.
 */
static size_t sequence(const unsigned char *text, size_t len, bool *valid, bool *cut)
{
    static const struct {
        unsigned char first_least, first_most, second_least, second_most, size;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    *valid = *cut = false;
    if (text[0] < 0xC2 || text[0] > 0xF4)
        return 1;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (text[0] < forms[i].first_least || text[0] > forms[i].first_most)
            continue;
        size_t at = 1;
        while (at < forms[i].size && at < len) {
            unsigned char least = at == 1 ? forms[i].second_least : 0x80;
            unsigned char most = at == 1 ? forms[i].second_most : 0xBF;
            if (text[at] < least || text[at] > most)
                return at;
            at++;
        }
        *valid = at == forms[i].size;
        *cut = !*valid;
        return at;
    }
    return 1;
}

size_t json_escape(const char *text, size_t len, bool last, char *out, size_t room, size_t *used)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0, written = 0;
    while (at < len && room - written >= ESCAPE_MAX) {
        size_t most = room - written < len - at ? room - written : len - at;
        size_t run = plain_run(bytes + at, most);
        if (run > 0) {
            memcpy(out + written, text + at, run);
            at += run;
            written += run;
            continue;
        }
        if (bytes[at] < 0x80) {
            written += escape_byte(bytes[at++], out + written);
            continue;
        }
        bool valid, cut;
        size_t size = sequence(bytes + at, len - at, &valid, &cut);
        if (cut && !last)
            break;
        memcpy(out + written, valid ? text + at : "\xEF\xBF\xBD", valid ? size : 3);
        written += valid ? size : 3;
        at += size;
    }
    *used = at;
    return written;
}
