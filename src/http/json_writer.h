/* JSON text, written straight into a buffer. Text that is not valid UTF-8 comes out as valid JSON
 * all the same: U+FFFD for every maximal subpart of what is ill-formed (Unicode, section 3.9).
 */
#ifndef HTTP_JSON_WRITER_H
#define HTTP_JSON_WRITER_H

#include "../common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start from {buf}. Keys and values come in order; commas are put between them. */
struct json_writer {
    struct buf *buf;
    bool comma;
};

void json_open(struct json_writer *json, char bracket); /* '{' or '[' */
void json_close(struct json_writer *json, char bracket);

/* In an object; in an array key is NULL. */
void json_put_text(struct json_writer *json, const char *key, const char *text);
void json_put_text_or_null(struct json_writer *json, const char *key, const char *text); /* "" */
void json_put_int(struct json_writer *json, const char *key, int64_t number);
void json_put_ms(struct json_writer *json, const char *key, double ms); /* to the microsecond */
void json_put_bool(struct json_writer *json, const char *key, bool value);
void json_put_null(struct json_writer *json, const char *key);
void json_put_open(struct json_writer *json, const char *key, char bracket);

/* Escapes text into out, without quotes: as much as fits. *used is how many bytes of text that
 * took. `last`: nothing follows text; else a sequence that its end cuts is left for the next call.
 * out needs room for at least 6 bytes. Returns the bytes written.
 */
size_t json_escape(const char *text, size_t len, bool last, char *out, size_t room, size_t *used);

#endif
