/* The configuration file, and its first line as a --set option. */
#include "fuzz.h"

#include "../../src/common/config.h"
#include "../../src/common/str.h"

static void check_message(const struct err *err)
{
    size_t len = strlen(err->msg);
    must(len > 0 && len < sizeof(err->msg));
    must(str_utf8_valid(err->msg, len) == len);
}

static void check_number(int64_t value, int64_t least, int64_t most)
{
    must(value >= least && value <= most);
}

static void check_text(const char *value, int64_t least, int64_t most)
{
    check_number((int64_t)strlen(value), least, most);
}

static void check_switch(bool value, int64_t least, int64_t most)
{
    check_number(value, least, most);
}

#define CHECK(value, least, most)                                                                  \
    _Generic((value), char *                                                                       \
             : check_text, int64_t                                                                 \
             : check_number, bool                                                                  \
             : check_switch)(value, least, most)

/* Whatever was read, every value is within its bounds. */
static void check_all(struct config *config)
{
#define SETTING(section, key, type, unit, least, most, default_, help)                             \
    CHECK(config->section##_##key, least, most);
#include "../../src/common/config.def"
#undef SETTING
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    struct err err = {0};
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    config_defaults(&config);
    if (config_parse(&config, text, "file.conf", &err) != 0)
        check_message(&err);
    else
        must(config_check(&config, &err) == 0);
    check_all(&config);
    config_defaults(&config);
    text[strcspn(text, "\n")] = '\0';
    if (config_set(&config, text, &err) != 0)
        check_message(&err);
    check_all(&config);
    free(text);
    return 0;
}
