/* A scripted agent: answers an operation's socket as crunner would that ran a program. It reads
 * and checks what the worker sends, writes without blocking, and knows no clock: who owns it says
 * when the program's time is over.
 */
#ifndef WORKER_FAKE_AGENT_H
#define WORKER_FAKE_AGENT_H

#include "../common/agent_wire.h"
#include "../common/clock.h"

#include <stdbool.h>
#include <stdint.h>

enum fake_ending {
    FAKE_EXITS,
    FAKE_FAILS,  /* the program cannot be started: AGENT_FAILED instead of AGENT_STARTED */
    FAKE_SILENT, /* it runs until it is killed */
    FAKE_DIES,   /* the whole container does */
};

struct fake_script {
    enum fake_ending ending;
    mono_us run_us;                      /* from AGENT_EXEC to the ending */
    uint64_t stdout_bytes, stderr_bytes; /* byte n of each is 'a' + n % 26 */
    struct agent_exit exit;              /* FAKE_EXITS; wall_us is filled from run_us when 0 */
    struct agent_failed failed;          /* FAKE_FAILS */
};

struct fake_agent;

/* Called once, when a well-formed AGENT_EXEC has come; fills script. exec is valid inside only. */
typedef void (*fake_agent_exec)(const struct agent_exec *exec, struct fake_script *script,
                                void *data);

/* Takes fd, a connected stream socket, and makes it non-blocking. */
struct fake_agent *fake_agent_create(int take_fd, fake_agent_exec on_exec, void *data);

/* Closes the socket. NULL is fine. */
void fake_agent_destroy(struct fake_agent *agent);

enum fake_agent_status {
    FAKE_AGENT_READS,  /* it has more to do once the socket is readable */
    FAKE_AGENT_WRITES, /* ... or writable */
    FAKE_AGENT_OVER,   /* it has said all, or its peer has gone: destroy it */
};

/* Reads and writes what can be without blocking. */
enum fake_agent_status fake_agent_pump(struct fake_agent *agent);

/* The program ends as its script says, after the output that is still to come. Not for FAKE_DIES
 * and FAKE_SILENT. Pump it afterwards.
 */
void fake_agent_end(struct fake_agent *agent);

/* The program dies of a signal; output that was not written yet is lost. Pump it afterwards. */
void fake_agent_signal(struct fake_agent *agent, uint32_t number);

/* The program is killed by signal 9; output that was not written yet is lost. Pump it afterwards.
 */
void fake_agent_kill(struct fake_agent *agent);

/* NULL until AGENT_EXEC has come. */
const struct fake_script *fake_agent_script(const struct fake_agent *agent);

int fake_agent_fd(const struct fake_agent *agent);

#endif
