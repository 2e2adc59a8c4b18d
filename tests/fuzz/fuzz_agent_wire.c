/* The agent's messages, both ways: the first byte says which. What is decoded is encoded again and
 * must be the same bytes: every message has one form.
 */
#include "fuzz.h"

#include "../../src/common/agent_wire.h"

#define ROUND_TRIP(name)                                                                           \
    static void try_##name(const void *payload, size_t len)                                        \
    {                                                                                              \
        static struct agent_##name msg;                                                            \
        if (!agent_##name##_decode(payload, len, &msg))                                            \
            return;                                                                                \
        unsigned char *again = malloc(len);                                                        \
        must(agent_##name##_encode(&msg, again, len) == len);                                      \
        must(memcmp(again, payload, len) == 0);                                                    \
        must(agent_##name##_encode(&msg, again, len - 1) == 0);                                    \
        free(again);                                                                               \
    }
ROUND_TRIP(hello)
ROUND_TRIP(open)
ROUND_TRIP(file)
ROUND_TRIP(exec)
ROUND_TRIP(signal)
ROUND_TRIP(op_signal)
ROUND_TRIP(started)
ROUND_TRIP(exit)
ROUND_TRIP(failed)
ROUND_TRIP(folder)
ROUND_TRIP(found)
ROUND_TRIP(collected)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const messages[])(const void *, size_t) = {
        try_hello, try_open,   try_file,   try_exec,  try_signal,    try_started,
        try_exit,  try_failed, try_folder, try_found, try_collected, try_op_signal};
    if (size > 0)
        messages[data[0] % 12](data + 1, size - 1);
    return 0;
}
