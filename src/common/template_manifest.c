#include "template_manifest.h"

#include "json.h"
#include "mem.h"
#include "str.h"

#include <string.h>
#include <sys/utsname.h>

#define FORMAT_KEY "codelandTemplate"

static const struct {
    const char *machine, *architecture;
} architectures[] = {
    {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"armv7l", "armhf"},    {"i686", "i386"},
    {"s390x", "s390x"},  {"ppc64le", "ppc64el"}, {"riscv64", "riscv64"},
};

void template_architecture(char name[16])
{
    struct utsname self;
    uname(&self);
    const char *found = self.machine;
    for (size_t i = 0; i < ARRAY_LEN(architectures); i++)
        if (strcmp(self.machine, architectures[i].machine) == 0)
            found = architectures[i].architecture;
    str_format(name, 16, "%.15s", found);
}

/* Before anything else is looked at: a later format may have other keys. */
static int check_format(const json_t *object, struct err *err)
{
    int64_t format;
    if (json_get_int(object, FORMAT_KEY, true, 0, INT32_MAX, &format, err) != 0)
        return -1;
    if (format != TEMPLATE_ARCHIVE_FORMAT)
        return err_set(err, ERR_NOT_AVAILABLE, "its format is %d, this program's is %d",
                       (int)format, TEMPLATE_ARCHIVE_FORMAT);
    return 0;
}

static int check_architecture(const char *architecture, struct err *err)
{
    char here[16];
    template_architecture(here);
    if (strcmp(architecture, here) != 0)
        return err_set(err, ERR_NOT_AVAILABLE,
                       "it is of the architecture \"%.15s\", this machine's is %s", architecture,
                       here);
    return 0;
}

int template_manifest_parse(const char *text, size_t len, struct template_manifest *manifest,
                            struct err *err)
{
    static const char *const keys[] = {FORMAT_KEY, "name",  "architecture",
                                       "entries",  "bytes", NULL};
    const char *name, *architecture;
    if (len > TEMPLATE_MANIFEST_TEXT_MAX)
        return err_set(err, ERR_BAD_REQUEST, "has %zu bytes, at most %d are allowed", len,
                       TEMPLATE_MANIFEST_TEXT_MAX);
    cleanup_json json_t *object = json_parse_object(text, len, false, err);
    if (!object || check_format(object, err) != 0 || json_only_keys(object, keys, err) != 0 ||
        json_get_string(object, "name", true, &name, NULL, err) != 0 ||
        json_get_string(object, "architecture", true, &architecture, NULL, err) != 0 ||
        json_get_int(object, "entries", true, 1, TEMPLATE_ENTRIES_MAX, &manifest->entries, err) !=
            0 ||
        json_get_int(object, "bytes", true, 0, TEMPLATE_BYTES_MAX, &manifest->bytes, err) != 0)
        return -1;
    if (!id_name_valid(name))
        return err_set(err, ERR_BAD_REQUEST, "name: must match [a-z][a-z0-9-]{0,40}");
    if (check_architecture(architecture, err) != 0)
        return -1;
    str_format(manifest->name, sizeof(manifest->name), "%s", name);
    str_format(manifest->architecture, sizeof(manifest->architecture), "%s", architecture);
    return 0;
}

char *template_manifest_text(const struct template_manifest *manifest)
{
    char architecture[16];
    template_architecture(architecture);
    cleanup_json json_t *object =
        json_pack("{s:i, s:s, s:s, s:I, s:I}", FORMAT_KEY, TEMPLATE_ARCHIVE_FORMAT, "name",
                  manifest->name, "architecture", architecture, "entries",
                  (json_int_t)manifest->entries, "bytes", (json_int_t)manifest->bytes);
    char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    if (!text)
        mem_exhausted();
    return text;
}
