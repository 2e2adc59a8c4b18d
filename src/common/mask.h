/* Lines of other programs, for people, without what must not be seen. */
#ifndef COMMON_MASK_H
#define COMMON_MASK_H

#include <stddef.h>

/* Copies line into masked with *** in the place of users and passwords within URLs, of what follows
 * a word such as "password=" or "Authorization:", and of long runs of base64 or hex, which keys and
 * tokens are. Fingerprints (SHA256:...) and paths stay. Cut to fit room, which is not 0; what is
 * cut is never half a secret.
 */
void mask_secrets(const char *line, char *masked, size_t room);

#endif
