/* How a worker is reached: the body of POST /workers. */
#include "fuzz.h"

#include "../../src/common/json.h"
#include "../../src/common/str.h"
#include "../../src/common/worker_spec.h"

/* What becomes a word of ssh's argv. */
static void check_word(const char *text)
{
    must(text[0] != '-');
    must(strpbrk(text, " \t\n\\%$~'\"`;|&<>*?") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct worker_spec spec, again;
    cleanup_json json_t *object = json_parse_object((const char *)data, size, true, &err);
    if (!object)
        return 0;
    if (worker_spec_parse(object, NULL, &spec, &err) != 0) {
        must(str_utf8_valid(err.msg, strlen(err.msg)) == strlen(err.msg));
        return 0;
    }
    check_word(spec.user);
    check_word(spec.host);
    check_word(spec.identity);
    check_word(spec.jump);
    check_word(spec.socket);
    cleanup_json json_t *made = worker_spec_json(&spec);
    must(worker_spec_parse(made, NULL, &again, &err) == 0);
    must(memcmp(&spec, &again, sizeof(spec)) == 0);
    return 0;
}
