#include "base64.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(uint32_t bits, char *to)
{
    to[0] = digits[bits >> 18];
    to[1] = digits[bits >> 12 & 63];
    to[2] = digits[bits >> 6 & 63];
    to[3] = digits[bits & 63];
}

size_t base64_encode(const void *data, size_t len, char *to)
{
    const unsigned char *from = data;
    size_t at = 0, written = 0;
    for (; at + 3 <= len; at += 3, written += 4)
        encode_group((uint32_t)from[at] << 16 | (uint32_t)from[at + 1] << 8 | from[at + 2],
                     to + written);
    if (at == len)
        return written;
    bool two = len - at == 2;
    encode_group((uint32_t)from[at] << 16 | (two ? (uint32_t)from[at + 1] << 8 : 0), to + written);
    if (!two)
        to[written + 2] = '=';
    to[written + 3] = '=';
    return written + 4;
}

static int digit(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* How many of the last four characters are padding. */
static size_t padding(const char *text, size_t len)
{
    if (len < 4 || text[len - 1] != '=')
        return 0;
    return text[len - 2] == '=' ? 2 : 1;
}

int base64_decode(const char *text, size_t len, unsigned char *to, size_t *written, size_t *wrong)
{
    size_t pad = padding(text, len), out = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < len - pad; i++) {
        int value = digit(text[i]);
        *wrong = i;
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            to[out++] = (unsigned char)(bits >> 16);
            to[out++] = (unsigned char)(bits >> 8);
            to[out++] = (unsigned char)bits;
        }
    }
    *wrong = len;
    if (len % 4 != 0 || (pad == 1 && bits & 3) || (pad == 2 && bits & 15))
        return -1;
    if (pad == 2)
        to[out++] = (unsigned char)(bits >> 4);
    if (pad == 1) {
        to[out++] = (unsigned char)(bits >> 10);
        to[out++] = (unsigned char)(bits >> 2);
    }
    *written = out;
    return 0;
}
