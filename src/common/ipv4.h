/* IPv4 addresses, ranges and ports as settings have them. Addresses are in the host's byte order.
 */
#ifndef COMMON_IPV4_H
#define COMMON_IPV4_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ipv4_range {
    uint32_t first;  /* no bit is set beyond the prefix */
    unsigned prefix; /* 0..32 */
};

#define IPV4_TEXT_MAX 16 /* 255.255.255.255 and a NUL */

/* Dotted, four decimal numbers without leading zeros, the whole text. */
bool ipv4_parse(const char *text, uint32_t *address);

/* A.B.C.D/PREFIX, or an address alone, which is a /32. */
bool ipv4_range_parse(const char *text, struct ipv4_range *range);

void ipv4_format(uint32_t address, char text[IPV4_TEXT_MAX]);

uint32_t ipv4_mask(unsigned prefix);
bool ipv4_overlap(const struct ipv4_range *one, const struct ipv4_range *other);

/* Lists, separated by blanks or commas; at most `most` entries. They return how many there are, or
 * -1 with an err that names the word or the bound.
 */
int ipv4_list_parse(const char *text, uint32_t *addresses, size_t most, struct err *err);
int ipv4_ranges_parse(const char *text, struct ipv4_range *ranges, size_t most, struct err *err);
int ipv4_ports_parse(const char *text, uint16_t *ports, size_t most, struct err *err);

#endif
