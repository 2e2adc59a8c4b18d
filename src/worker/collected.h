/* What `crunner collect` says, checked and passed on to the caller: FOUND and FILE_DATA. The user's
 * programs may have made it say anything: its names, its counts and its order are nobody's word.
 */
#ifndef WORKER_COLLECTED_H
#define WORKER_COLLECTED_H

#include "../common/buf.h"
#include "../common/frame.h"

#include <stdbool.h>
#include <stdint.h>

struct collected {
    struct buf in;
    int64_t bytes_left, files_left; /* that may still come */
    bool in_file;                   /* FILE_DATA may come */
    bool over;                      /* the end was seen, or what came made no sense */
    bool cut;                       /* there was more, or it did not come to its end */
};

void collected_init(struct collected *collected, int64_t bytes, int64_t files);
void collected_finish(struct collected *collected);

/* Takes len bytes of its output. send is called for each frame that the caller is to have: FOUND,
 * with a payload of JSON, and FILE_DATA.
 */
void collected_feed(struct collected *collected, const void *data, size_t len,
                    void (*send)(enum frame_type type, const void *payload, size_t len, void *data),
                    void *send_data);

#endif
