/* The pipes between the agent and one program: its standard input, output and error. */
#ifndef AGENT_PIPES_H
#define AGENT_PIPES_H

#include "outbox.h"
#include "watch.h"

#include <stdbool.h>
#include <sys/types.h>

struct pipes {
    struct watch in;          /* the agent's ends; none before pipes_make */
    struct watch out[2];      /* stdout, stderr */
    bool in_full;             /* the program does not read: pipes_feed waits for room */
    size_t in_done;           /* bytes of pipes_feed's data that are already written */
    int64_t owed_bytes[2];    /* in out when the program ended, and not relayed yet */
    uint64_t wanted_bytes[2]; /* so many more of out are relayed, and the rest dropped */
};

/* output_bytes is that of AGENT_OPEN. */
void pipes_init(struct pipes *pipes, uint64_t output_bytes);

/* Makes them. The program's ends, for its descriptors 0, 1 and 2, are the caller's; uid may open
 * them by name. -1 with errno, and nothing is open.
 */
int pipes_make(struct pipes *pipes, uid_t uid, int program_ends[3]);

void pipes_close(struct pipes *pipes);
void pipes_close_in(struct pipes *pipes);

/* Write input to the program. False when it does not take all of it now: in_full is set, and the
 * same data is to be given again when WATCH_OP_STDIN comes. Input that the program does not want is
 * dropped.
 */
bool pipes_feed(struct pipes *pipes, const void *data, size_t len);

/* Read out[which] once, as outbox_relay does; at the end it is closed. What is not wanted counts as
 * relayed.
 */
ssize_t pipes_relay(struct pipes *pipes, int which, struct outbox *outbox, int socket);

/* The program has ended: what its pipes hold now is owed. */
void pipes_note_end(struct pipes *pipes);

/* Whether both of out are at their end. */
bool pipes_are_over(const struct pipes *pipes);

/* Tell the loop what to wait for; the tag's source is filled in. -1 with errno. */
int pipes_watch(struct pipes *pipes, struct watch_tag tag, bool take_output);

#endif
