/* What a worker's host says while it is looked at, line by line, and ssh's own stderr. */
#include "fuzz.h"

#include "../../src/link/ssh_words.h"
#include "../../src/manager/provision_line.h"

static void on_sum(const char *file, const char *hash, void *data)
{
    (void)data;
    must(file && hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct provision at = {0};
    struct provision_facts facts = {0};
    struct ssh_story story = {0};
    struct worker_spec spec;
    struct err err;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *next = text, *line; (line = strsep(&next, "\n"));) {
        provision_line(&at, &facts, line, on_sum, NULL);
        ssh_story_line(&story, line);
    }
    free(text);
    must(at.checks_len <= PROVISION_CHECKS_MAX);
    must(strpbrk(facts.missing, "'\"$`;&|\n") == NULL);
    worker_spec_init(&spec, "w");
    must(ssh_story_explain(&story, &spec, 255, 0, &err) == -1 && err.msg[0]);
    return 0;
}
