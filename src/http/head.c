#include "head.h"

#include "../common/mem.h"

#include <string.h>
#include <strings.h>

/* One line at a time, without its CR LF. */
struct lines {
    const char *at, *end;
};

static bool next_line(struct lines *lines, struct http_slice *line)
{
    const char *lf = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    if (!lf || lf == lines->at || lf[-1] != '\r')
        return false;
    *line = (struct http_slice){lines->at, (size_t)(lf - 1 - lines->at)};
    lines->at = lf + 1;
    return true;
}

/* RFC 9110, section 5.6.2. */
static bool is_token_char(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(struct http_slice slice)
{
    for (size_t i = 0; i < slice.len; i++)
        if (!is_token_char((unsigned char)slice.text[i]))
            return false;
    return slice.len > 0;
}

static bool equals(struct http_slice slice, const char *text)
{
    return slice.len == strlen(text) && strncasecmp(slice.text, text, slice.len) == 0;
}

static struct http_slice trim(struct http_slice slice)
{
    while (slice.len > 0 && (*slice.text == ' ' || *slice.text == '\t')) {
        slice.text++;
        slice.len--;
    }
    while (slice.len > 0 && (slice.text[slice.len - 1] == ' ' || slice.text[slice.len - 1] == '\t'))
        slice.len--;
    return slice;
}

/* Cuts the text up to the next separator off the front of rest. */
static struct http_slice cut(struct http_slice *rest, char separator)
{
    const char *found = memchr(rest->text, separator, rest->len);
    struct http_slice part = {rest->text, found ? (size_t)(found - rest->text) : rest->len};
    size_t used = part.len + (found ? 1 : 0);
    rest->text += used;
    rest->len -= used;
    return part;
}

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},     {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},       {"PUT", HTTP_PUT},
    {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
};

static enum http_method method_from(struct http_slice token)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (token.len == strlen(methods[i].name) &&
            memcmp(token.text, methods[i].name, token.len) == 0)
            return methods[i].method;
    return HTTP_OTHER;
}

const char *http_method_name(enum http_method method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "OTHER";
}

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_REQUEST, "not HTTP: %s", what);
}

/* "/path?query", "http://host/path?query" or "*". */
static int parse_target(struct http_slice target, struct http_head *head, struct err *err)
{
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.text[i] <= ' ' || (unsigned char)target.text[i] >= 0x7F)
            return bad(err, "the request target holds a character that must be percent-encoded");
    if (target.len > 7 && strncasecmp(target.text, "http://", 7) == 0) {
        static const char root[] = "/";
        size_t at = 7; /* the authority ends at the first of these, RFC 3986, section 3.2 */
        while (at < target.len && target.text[at] != '/' && target.text[at] != '?')
            at++;
        struct http_slice rest = {target.text + at, target.len - at};
        if (rest.len == 0 || rest.text[0] == '?') {
            head->path = (struct http_slice){root, 1};
            if (rest.len > 0)
                head->query = (struct http_slice){rest.text + 1, rest.len - 1};
            return 0;
        }
        target = rest;
    }
    bool star = target.len == 1 && target.text[0] == '*' && head->method == HTTP_OPTIONS;
    if (!star && (target.len == 0 || target.text[0] != '/'))
        return bad(err, "the request target must begin with /");
    struct http_slice rest = target;
    head->path = cut(&rest, '?');
    if (head->path.len < target.len)
        head->query = rest;
    return 0;
}

static int parse_request_line(struct http_slice line, struct http_head *head, struct err *err)
{
    struct http_slice rest = line;
    struct http_slice method = cut(&rest, ' ');
    struct http_slice target = cut(&rest, ' ');
    if (!is_token(method) || method.len > 32)
        return bad(err, "the request line has no method");
    head->method = method_from(method);
    bool version_1_1 = rest.len == 8 && memcmp(rest.text, "HTTP/1.1", 8) == 0;
    bool version_1_0 = rest.len == 8 && memcmp(rest.text, "HTTP/1.0", 8) == 0;
    if (!version_1_1 && !version_1_0)
        return bad(err, "the version must be HTTP/1.1 or HTTP/1.0");
    head->version_1_1 = head->keep_alive = version_1_1;
    return parse_target(target, head, err);
}

/* What is of use only together. */
struct head_seen {
    bool host, upgrade_ws, connection_upgrade;
};

static int parse_length(struct http_slice value, struct http_head *head, struct err *err)
{
    uint64_t length = 0;
    if (head->has_length)
        return bad(err, "Content-Length is there twice");
    if (value.len == 0 || value.len > 18)
        return bad(err, "Content-Length is no number");
    for (size_t i = 0; i < value.len; i++) {
        if (value.text[i] < '0' || value.text[i] > '9')
            return bad(err, "Content-Length is no number");
        length = length * 10 + (uint64_t)(value.text[i] - '0');
    }
    head->has_length = true;
    head->content_length = length;
    return 0;
}

static void parse_connection(struct http_slice value, struct http_head *head,
                             struct head_seen *seen)
{
    while (value.len > 0) {
        struct http_slice option = trim(cut(&value, ','));
        if (equals(option, "close"))
            head->keep_alive = false;
        else if (equals(option, "keep-alive"))
            head->keep_alive = true;
        else if (equals(option, "upgrade"))
            seen->connection_upgrade = true;
    }
}

/* A range with parameters counts, but not one that is given no weight. */
static void parse_accept(struct http_slice value, struct http_head *head)
{
    while (value.len > 0) {
        struct http_slice parameters = cut(&value, ',');
        bool wanted = equals(trim(cut(&parameters, ';')), "text/event-stream");
        while (parameters.len > 0) {
            struct http_slice parameter = trim(cut(&parameters, ';'));
            wanted = wanted && !equals(parameter, "q=0") && !equals(parameter, "q=0.0");
        }
        head->accept_events |= wanted;
    }
}

static int parse_header(struct http_slice name, struct http_slice value, struct http_head *head,
                        struct head_seen *seen, struct err *err)
{
    if (equals(name, "content-length"))
        return parse_length(value, head, err);
    if (equals(name, "transfer-encoding")) {
        if (head->chunked || !equals(value, "chunked"))
            return bad(err, "Transfer-Encoding must be chunked, once");
        head->chunked = true;
    } else if (equals(name, "host")) {
        if (seen->host)
            return bad(err, "Host is there twice");
        seen->host = true;
    } else if (equals(name, "connection")) {
        parse_connection(value, head, seen);
    } else if (equals(name, "expect")) {
        if (!equals(value, "100-continue"))
            return bad(err, "Expect must be 100-continue");
        head->expect_continue = true;
    } else if (equals(name, "upgrade")) {
        seen->upgrade_ws = equals(value, "websocket");
    } else if (equals(name, "sec-websocket-key")) {
        head->ws_key = value;
    } else if (equals(name, "sec-websocket-version")) {
        head->ws_version = value;
    } else if (equals(name, "sec-websocket-protocol")) {
        head->ws_protocols = value;
    } else if (equals(name, "accept")) {
        parse_accept(value, head);
    } else if (equals(name, "authorization")) {
        head->authorization = value;
    } else if (equals(name, "auth-token")) {
        head->auth_token = value;
    } else if (equals(name, "content-type")) {
        head->content_type = value;
    }
    return 0;
}

static int parse_header_line(struct http_slice line, struct http_head *head, struct head_seen *seen,
                             struct err *err)
{
    struct http_slice rest = line;
    struct http_slice name = cut(&rest, ':');
    if (name.len == line.len || !is_token(name))
        return bad(err, "a header must be a name, a colon and a value, on one line");
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = (unsigned char)rest.text[i];
        if ((c < ' ' && c != '\t') || c == 0x7F)
            return bad(err, "a header's value holds a control character");
    }
    return parse_header(name, trim(rest), head, seen, err);
}

static int parse_lines(struct lines *lines, struct http_head *head, struct err *err)
{
    struct http_slice line;
    struct head_seen seen = {0};
    unsigned count = 0;
    if (!next_line(lines, &line))
        return bad(err, "lines must end with CR LF");
    if (parse_request_line(line, head, err) != 0)
        return -1;
    for (;;) {
        if (!next_line(lines, &line))
            return bad(err, "lines must end with CR LF");
        if (line.len == 0)
            break;
        if (++count > HTTP_HEADERS_MAX)
            return err_set(err, ERR_HEADERS_TOO_LARGE, "more than %d headers", HTTP_HEADERS_MAX);
        if (parse_header_line(line, head, &seen, err) != 0)
            return -1;
    }
    if (head->version_1_1 && !seen.host)
        return bad(err, "Host is missing");
    if (head->chunked && (head->has_length || !head->version_1_1))
        return bad(err, "Transfer-Encoding cannot be together with Content-Length or HTTP/1.0");
    head->upgrade_ws = seen.upgrade_ws && seen.connection_upgrade && head->version_1_1;
    return 0;
}

bool http_list_next(struct http_slice *rest, struct http_slice *item)
{
    while (rest->len > 0) {
        *item = trim(cut(rest, ','));
        if (item->len > 0)
            return true;
    }
    return false;
}

enum http_head_status http_head_parse(const char *data, size_t len, struct http_head *head,
                                      size_t *used, struct err *err)
{
    *head = (struct http_head){0};
    size_t skip = 0; /* empty lines before a request, RFC 9112, section 2.2 */
    while (skip + 1 < len && skip < 8 && data[skip] == '\r' && data[skip + 1] == '\n')
        skip += 2;
    /* What speaks another protocol, TLS for example, need not be waited for. */
    if (skip < len && !is_token_char((unsigned char)data[skip]) && data[skip] != '\r') {
        bad(err, "the request line has no method");
        return HTTP_HEAD_BAD;
    }
    const char *end = skip < len ? memmem(data + skip, len - skip, "\r\n\r\n", 4) : NULL;
    size_t size = end ? (size_t)(end + 4 - data) : len;
    if (size > HTTP_HEAD_MAX) {
        err_set(err, ERR_HEADERS_TOO_LARGE, "request line and headers are longer than %d bytes",
                HTTP_HEAD_MAX);
        return HTTP_HEAD_BAD;
    }
    if (!end)
        return HTTP_HEAD_MORE;
    *used = size;
    struct lines lines = {data + skip, data + size};
    return parse_lines(&lines, head, err) == 0 ? HTTP_HEAD_OK : HTTP_HEAD_BAD;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool http_decode(struct http_slice slice, bool plus, char *text, size_t room)
{
    size_t out = 0;
    for (size_t i = 0; i < slice.len; i++) {
        char c = slice.text[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 1 < slice.len ? hex_digit(slice.text[i + 1]) : -1;
            int low = i + 2 < slice.len ? hex_digit(slice.text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || out + 1 >= room)
            return false;
        text[out++] = c;
    }
    text[out] = '\0';
    return true;
}

bool http_query_get(struct http_slice query, const char *name, char *text, size_t room, bool *valid)
{
    while (query.len > 0) {
        struct http_slice value = cut(&query, '&');
        struct http_slice key = cut(&value, '=');
        if (key.len == strlen(name) && memcmp(key.text, name, key.len) == 0) {
            *valid = http_decode(value, true, text, room);
            return true;
        }
    }
    return false;
}
