/* What an agent says of the files that a run brings back: its user's programs may have made it say
 * anything, in pieces of any size. The first byte says how large the pieces are.
 */
#include "fuzz.h"

#include "../../src/common/json.h"
#include "../../src/common/path.h"
#include "../../src/worker/collected.h"

#define BYTES 4096
#define FILES 16

struct heard {
    int64_t bytes, files;
    bool in_file;
};

static void on_frame(enum frame_type type, const void *payload, size_t len, void *data)
{
    struct heard *heard = data;
    struct err err;
    const char *path = NULL, *error = NULL;
    if (type == FRAME_FILE_DATA) {
        must(heard->in_file && len > 0);
        heard->bytes += (int64_t)len;
        must(heard->bytes <= BYTES);
        return;
    }
    must(type == FRAME_FOUND);
    json_t *found = json_parse_object(payload, len, false, &err);
    must(found);
    must(json_get_string(found, "path", true, &path, NULL, &err) == 0);
    must(path_is_inside(path, strlen(path)));
    must(json_get_string(found, "error", false, &error, NULL, &err) == 0);
    heard->in_file = error == NULL;
    json_decref(found);
    must(++heard->files <= FILES);
}

static struct heard feed(const uint8_t *data, size_t size, size_t piece, bool *cut)
{
    struct heard heard = {0};
    struct collected collected;
    collected_init(&collected, BYTES, FILES);
    for (size_t at = 0; at < size; at += piece)
        collected_feed(&collected, data + at, size - at < piece ? size - at : piece, on_frame,
                       &heard);
    must(collected.bytes_left == BYTES - heard.bytes);
    must(collected.files_left == FILES - heard.files);
    *cut = collected.cut;
    collected_finish(&collected);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool cut, cut_whole;
    if (size < 1)
        return 0;
    struct heard pieces = feed(data + 1, size - 1, data[0] + 1u, &cut);
    struct heard whole = feed(data + 1, size - 1, 65536, &cut_whole);
    /* However it is cut up, it says the same. */
    must(pieces.bytes == whole.bytes && pieces.files == whole.files && cut == cut_whole);
    return 0;
}
