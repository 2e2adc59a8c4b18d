/* A pattern and a name, apart by a newline: as the C library would match them where both have only
 * what both treat alike, and no reading beyond either in every case.
 */
#include "fuzz.h"

#include "../../src/common/glob.h"

#include <fnmatch.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    if (!end || size > 512)
        return 0;
    size_t len = (size_t)(end - data), name_len = size - len - 1;
    char *pattern = calloc(1, len + 1), *name = calloc(1, name_len + 1);
    memcpy(pattern, data, len);
    memcpy(name, end + 1, name_len);
    bool matches = glob_match(pattern, name);
    if (!strpbrk(pattern, "[\\"))
        must(matches == (fnmatch(pattern, name, FNM_PERIOD) == 0));
    if (!glob_is_pattern(pattern))
        must(matches == (strcmp(pattern, name) == 0));
    free(pattern);
    free(name);
    return 0;
}
