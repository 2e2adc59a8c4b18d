#include "ipv4.h"

#include "str.h"

#include <stdio.h>
#include <string.h>

static bool parse_number(const char *text, int64_t most, int64_t *value)
{
    bool one_way = text[0] == '0' ? text[1] == '\0' : text[0] != '-'; /* no 01, no -0 */
    return one_way && str_to_int(text, 0, most, value);
}

bool ipv4_parse(const char *text, uint32_t *address)
{
    char copy[IPV4_TEXT_MAX];
    *address = 0;
    if (!str_format(copy, sizeof(copy), "%s", text))
        return false;
    char *at = copy;
    for (int i = 0; i < 4; i++) {
        int64_t part;
        char *dot = at ? strchr(at, '.') : NULL;
        if (!at || (dot == NULL) != (i == 3))
            return false;
        if (dot)
            *dot = '\0';
        if (!parse_number(at, 255, &part))
            return false;
        *address = *address << 8 | (uint32_t)part;
        at = dot ? dot + 1 : NULL;
    }
    return true;
}

uint32_t ipv4_mask(unsigned prefix)
{
    return prefix == 0 ? 0 : ~(uint32_t)0 << (32 - prefix);
}

bool ipv4_range_parse(const char *text, struct ipv4_range *range)
{
    char copy[IPV4_TEXT_MAX + 3];
    int64_t prefix = 32;
    if (!str_format(copy, sizeof(copy), "%s", text))
        return false;
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if ((slash && !parse_number(slash + 1, 32, &prefix)) || !ipv4_parse(copy, &range->first))
        return false;
    range->prefix = (unsigned)prefix;
    return (range->first & ~ipv4_mask(range->prefix)) == 0;
}

void ipv4_format(uint32_t address, char text[IPV4_TEXT_MAX])
{
    snprintf(text, IPV4_TEXT_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
             address >> 8 & 255, address & 255);
}

bool ipv4_overlap(const struct ipv4_range *one, const struct ipv4_range *other)
{
    unsigned prefix = one->prefix < other->prefix ? one->prefix : other->prefix;
    return ((one->first ^ other->first) & ipv4_mask(prefix)) == 0;
}

/* What a word of a list becomes: stored as entry number `index` if it is right. */
typedef bool (*store_word)(const char *word, void *to, size_t index);

static int parse_words(const char *text, size_t most, store_word store, void *to, const char *what,
                       struct err *err)
{
    size_t count = 0;
    for (const char *at = text; at += strspn(at, " \t,"), *at;) {
        char word[32];
        size_t len = strcspn(at, " \t,");
        if (!str_format(word, sizeof(word), "%.*s", (int)len, at) || count == most ||
            !store(word, to, count))
            return count == most ? err_set(err, ERR_BAD_REQUEST, "has more than %zu entries", most)
                                 : err_set(err, ERR_BAD_REQUEST, "\"%.*s\" is not %s",
                                           (int)(len < 40 ? len : 40), at, what);
        count++;
        at += len;
    }
    return (int)count;
}

static bool store_address(const char *word, void *to, size_t index)
{
    return ipv4_parse(word, (uint32_t *)to + index);
}

static bool store_range(const char *word, void *to, size_t index)
{
    return ipv4_range_parse(word, (struct ipv4_range *)to + index);
}

static bool store_port(const char *word, void *to, size_t index)
{
    int64_t port = 0;
    if (!parse_number(word, UINT16_MAX, &port) || port == 0)
        return false;
    ((uint16_t *)to)[index] = (uint16_t)port;
    return true;
}

int ipv4_list_parse(const char *text, uint32_t *addresses, size_t most, struct err *err)
{
    return parse_words(text, most, store_address, addresses, "an IPv4 address", err);
}

int ipv4_ranges_parse(const char *text, struct ipv4_range *ranges, size_t most, struct err *err)
{
    return parse_words(text, most, store_range, ranges,
                       "an IPv4 range (A.B.C.D/PREFIX, with no bit set beyond the prefix)", err);
}

int ipv4_ports_parse(const char *text, uint16_t *ports, size_t most, struct err *err)
{
    return parse_words(text, most, store_port, ports, "a port (1..65535)", err);
}
