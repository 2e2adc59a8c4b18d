#include "abuse_judge.h"

#include "../common/base64.h"
#include "../common/json.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <string.h>

#define TIMED_OUT 498

/* What every file that a case lets be collected begins with: another's content would not. */
static const char own_mark[] = "mine";

/* Exit codes of `codeland run` (docs/api.md). */
enum { EXIT_RUN_TIMED_OUT = 124, EXIT_NOT_RUN = 125 };

/* Of a text that may hold NULs: *len is its length, and then the line's. */
static const char *last_line(const char *text, size_t *len)
{
    size_t end = *len;
    while (end > 0 && text[end - 1] == '\n')
        end--;
    const char *start = text + end;
    while (start > text && start[-1] != '\n')
        start--;
    *len = (size_t)(text + end - start);
    return start;
}

static enum abuse_verdict wrong(char why[ABUSE_WHY_MAX], const char *what, const char *text,
                                size_t len)
{
    str_format(why, ABUSE_WHY_MAX, "%s%.*s", what, (int)(len < 300 ? len : 300), text);
    return ABUSE_FAILED;
}

static bool says_held(const char *text, size_t len)
{
    const char *line = last_line(text, &len);
    return len == 4 && memcmp(line, "held", 4) == 0;
}

/* ---- files that were collected ---- */

static bool is_own(const json_t *file)
{
    const json_t *content = json_object_get(file, "content");
    size_t len = json_string_length(content), written = 0, at = 0;
    if (!content)
        return true; /* it was refused */
    cleanup_free unsigned char *bytes = mem_calloc(1, BASE64_ROOM(len) + 1);
    return base64_decode(json_string_value(content), len, bytes, &written, &at) == 0 &&
           written >= strlen(own_mark) && memcmp(bytes, own_mark, strlen(own_mark)) == 0;
}

static bool has_found(const json_t *files, const char *path, size_t path_len, const char *error,
                      size_t error_len)
{
    size_t i;
    json_t *file;
    json_array_foreach((json_t *)files, i, file)
    {
        const char *has = json_string_value(json_object_get(file, "path"));
        const char *why = json_string_value(json_object_get(file, "error"));
        if (!why)
            why = "ok";
        if (has && strlen(has) == path_len && memcmp(has, path, path_len) == 0 &&
            strlen(why) == error_len && memcmp(why, error, error_len) == 0)
            return true;
    }
    return false;
}

static enum abuse_verdict judge_files(const struct abuse_case *abuse, const json_t *result,
                                      char why[ABUSE_WHY_MAX])
{
    const json_t *files = json_object_get(result, "files");
    size_t i;
    json_t *file;
    json_array_foreach((json_t *)files, i, file)
    {
        const char *path = json_string_value(json_object_get(file, "path"));
        if (!is_own(file))
            return wrong(why, "what was collected is not its own: ", path ? path : "",
                         path ? strlen(path) : 0);
        if (json_integer_value(json_object_get(file, "mode")) > 0777)
            return wrong(why, "a special mode was collected: ", path, strlen(path));
    }
    for (const char *at = abuse->collected; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " "), path_len = strcspn(at, "=");
        if (path_len >= len ||
            !has_found(files, at, path_len, at + path_len + 1, len - path_len - 1))
            return wrong(why, "was not collected so: ", at, len);
        at += len;
    }
    return ABUSE_HELD;
}

/* ---- the result of a run ---- */

static bool was_cut(const json_t *result)
{
    const json_t *parts[] = {result, json_object_get(result, "compile")};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const json_t *truncated = json_object_get(parts[i], "truncated");
        if (json_is_true(json_object_get(truncated, "stdout")) ||
            json_is_true(json_object_get(truncated, "stderr")))
            return true;
    }
    return false;
}

static enum abuse_verdict judge_result(const struct abuse_case *abuse, const json_t *result,
                                       const char status[ABUSE_STATUS_MAX], char why[ABUSE_WHY_MAX])
{
    const char *text = "", *errors = "";
    struct err ignored;
    size_t len = 0, errors_len = 0;
    json_get_string(result, "stdout", false, &text, &len, &ignored);
    json_get_string(result, "stderr", false, &errors, &errors_len, &ignored);
    bool held = says_held(text, len);
    const char *line = last_line(text, &len);
    if (len == 0)
        line = last_line(errors, &errors_len), len = errors_len;
    if (!abuse_case_allows(abuse, status))
        return wrong(why, "this is none of the ends that it may have: ", line, len);
    if (abuse->says_held && !held)
        return wrong(why, "", line, len);
    if (abuse->truncated && !was_cut(result))
        return wrong(why, "all of its output was kept", "", 0);
    return judge_files(abuse, result, why);
}

/* Whether the API says that this installation is not made for it: a setting forbids it, or the
 * template of its language is not built.
 */
static bool is_elsewhere(const json_t *result, const char *message)
{
    const char *name = json_string_value(json_object_get(result, "name"));
    if (!name)
        return false;
    return strcmp(name, "forbidden") == 0 || strcmp(name, "UnknownLanguage") == 0 ||
           (strcmp(name, "RunnerNotAvailable") == 0 && strstr(message, "template build"));
}

enum abuse_verdict abuse_judge(const struct abuse_case *abuse, int http_status, const char *body,
                               size_t len, char status[ABUSE_STATUS_MAX], char why[ABUSE_WHY_MAX])
{
    struct err err;
    const char *text = "";
    cleanup_json json_t *result = json_parse_object(body, len, true, &err);
    why[0] = '\0';
    str_format(status, ABUSE_STATUS_MAX, "%d", http_status);
    if (!result)
        return wrong(why, "the answer is no JSON: ", err.msg, strlen(err.msg));
    if (http_status == TIMED_OUT) {
        str_format(status, ABUSE_STATUS_MAX, "timeout");
        return judge_result(abuse, result, status, why);
    }
    if (http_status == 200 && json_get_string(result, "status", true, &text, NULL, &err) == 0) {
        str_format(status, ABUSE_STATUS_MAX, "%.31s", text);
        return judge_result(abuse, result, status, why);
    }
    json_get_string(result, "message", false, &text, NULL, &err);
    bool elsewhere = abuse->optional && is_elsewhere(result, text);
    wrong(why, elsewhere ? "" : "the API answers: ", text, strlen(text));
    return elsewhere ? ABUSE_NOT_APPLICABLE : ABUSE_FAILED;
}

enum abuse_verdict abuse_judge_exit(const struct abuse_case *abuse, int exit_code,
                                    const char *output, size_t len, char status[ABUSE_STATUS_MAX],
                                    char why[ABUSE_WHY_MAX])
{
    bool held = says_held(output, len);
    const char *line = last_line(output, &len);
    why[0] = '\0';
    if (exit_code == 0)
        str_format(status, ABUSE_STATUS_MAX, "ok");
    else if (exit_code == EXIT_RUN_TIMED_OUT)
        str_format(status, ABUSE_STATUS_MAX, "timeout");
    else if (exit_code == EXIT_NOT_RUN)
        str_format(status, ABUSE_STATUS_MAX, "error");
    else
        str_format(status, ABUSE_STATUS_MAX, "exit %d", exit_code);
    if (!abuse_case_allows(abuse, status))
        return wrong(why, "this is none of the ends that it may have: ", line, len);
    return abuse->says_held && !held ? wrong(why, "", line, len) : ABUSE_HELD;
}

enum abuse_verdict abuse_judge_refusal(int http_status, const char *body, size_t len,
                                       char why[ABUSE_WHY_MAX])
{
    why[0] = '\0';
    if (http_status == 400)
        return ABUSE_HELD;
    return wrong(why, "a request that must be refused is answered: ", body, len);
}
