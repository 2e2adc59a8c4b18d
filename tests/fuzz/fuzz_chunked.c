/* A chunked body: however it is cut into reads, the same bytes come out, or the same failure. */
#include "fuzz.h"

#include "../../src/http/chunked.h"

struct outcome {
    char *body;
    size_t len, used;
    bool failed, done;
};

/* Reads of step bytes, 0: all at once. */
static struct outcome decode(const char *data, size_t size, size_t step)
{
    struct chunked chunked = {0};
    struct outcome outcome = {.body = malloc(size ? size : 1)};
    struct err err = {0};
    while (outcome.used < size && chunked.state != CHUNKED_DONE) {
        size_t len = size - outcome.used;
        if (step && len > step)
            len = step;
        char *copy = malloc(len);
        memcpy(copy, data + outcome.used, len);
        const char *piece = NULL;
        size_t piece_len = 0;
        long took = chunked_next(&chunked, copy, len, &piece, &piece_len, &err);
        if (took >= 0) {
            must((size_t)took <= len && took > 0);
            must(piece_len == 0 || (piece >= copy && piece + piece_len <= copy + took));
            must(outcome.len + piece_len <= size);
            if (piece_len)
                memcpy(outcome.body + outcome.len, piece, piece_len);
            outcome.len += piece_len;
            outcome.used += (size_t)took;
        }
        free(copy);
        if (took < 0) {
            must(took == -1 && err.code != ERR_NONE && err.msg[0]);
            outcome.failed = true;
            return outcome;
        }
    }
    outcome.done = chunked.state == CHUNKED_DONE;
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = decode((const char *)data, size, 0);
    static const size_t steps[] = {1, 2, 3, 7};
    for (size_t i = 0; i < 4; i++) {
        struct outcome cut = decode((const char *)data, size, steps[i]);
        must(cut.failed == whole.failed && cut.done == whole.done);
        must(cut.failed || (cut.len == whole.len && cut.used == whole.used));
        must(cut.failed || memcmp(cut.body, whole.body, cut.len) == 0);
        free(cut.body);
    }
    free(whole.body);
    return 0;
}
