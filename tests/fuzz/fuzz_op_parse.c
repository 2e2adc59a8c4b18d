/* The operations that a worker is asked for: the first byte says which. */
#include "fuzz.h"

#include "../../src/common/oven_change.h"
#include "../../src/common/str.h"
#include "../../src/worker/op_parse.h"

static void check_failed(const struct err *err)
{
    size_t len = strlen(err->msg);
    must(err->code != ERR_NONE && len > 0);
    must(str_utf8_valid(err->msg, len) == len);
}

static void check_strings(const char *const *strings, uint32_t count, uint32_t most)
{
    must(count <= most && !strings[count]);
    for (uint32_t i = 0; i < count; i++)
        must(strlen(strings[i]) <= FRAME_CONTROL_MAX); /* readable up to a NUL */
}

static void run(const char *text, size_t len, bool exec_on_named)
{
    static struct op_run op;
    static unsigned char payload[FRAME_CONTROL_MAX];
    struct err err = {0};
    if (op_run_parse(text, len, exec_on_named, &op, &err) != 0) {
        check_failed(&err);
        must(!op.json);
        return;
    }
    must(op.id && strlen(op.id) <= OP_ID_MAX && op.exec.cwd);
    must((op.runner != NULL) == exec_on_named && op.template_name);
    check_strings(op.exec.argv, op.exec.argc, AGENT_ARGV_MAX);
    check_strings(op.exec.env, op.exec.envc, AGENT_ENV_MAX);
    for (uint32_t i = 0; i < op.exec.envc; i++)
        must(strchr(op.exec.env[i], '=') > op.exec.env[i]);
    must(op.files_len <= OP_FILES_MAX);
    for (size_t i = 0; i < op.files_len; i++)
        must(op.files[i].name && op.files[i].mode <= 0777 && op.files[i].bytes >= 0 &&
             op.files[i].bytes <= OP_FILE_BYTES_MAX);
    if (op.exec.argc == 0)
        must(op.keep);
    else
        agent_exec_encode(&op.exec, payload, sizeof(payload)); /* it may be too long: 0 */
    if (op.keep)
        must(op.keep_owner && (!op.keep_name || id_name_valid(op.keep_name)));
    op_run_finish(&op);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    struct err err = {0};
    char name[NAME_MAX_LEN + 1];
    char manager[MANAGER_ID_LEN + 1];
    bool remove;
    uint64_t key;
    int signal;
    struct oven_change change;
    switch (data[0] % 9) {
    case 0:
    case 1:
        run(text, len, data[0] % 9);
        break;
    case 2:
        if (op_destroy_parse(text, len, name, &err) != 0)
            check_failed(&err);
        else
            must(id_name_valid(name));
        break;
    case 3:
        if (op_zombies_parse(text, len, &remove, &err) != 0)
            check_failed(&err);
        break;
    case 5:
        if (oven_change_parse(text, len, &change, &err) != 0)
            check_failed(&err);
        else
            must((!change.template_name[0] || id_name_valid(change.template_name)) &&
                 change.min_available >= -1 && change.max_runners != 0);
        break;
    case 6:
        if (op_footprint_parse(text, len, &err) != 0)
            check_failed(&err);
        break;
    case 7:
        if (op_key_parse(text, len, &key, &err) != 0)
            check_failed(&err);
        else
            must(key != 0);
        break;
    case 8:
        if (op_signal_parse(text, len, &signal, &err) != 0)
            check_failed(&err);
        else
            must(signal >= 1 && signal <= AGENT_SIGNAL_MAX);
        break;
    case 4:
        if (op_hello_parse(text, len, manager, &err) != 0)
            check_failed(&err);
        else
            must(id_manager_valid(manager));
        break;
    }
    return 0;
}
