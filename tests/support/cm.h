/* cmocka, with what it forgets to include itself. */
#ifndef SUPPORT_CM_H
#define SUPPORT_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* For functions that return 0 or -1 and fill an err: the message is shown when it was not 0. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, (err).msg);                                                  \
    } while (0)

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("\"%s\" is not in \"%s\"", (part), (text));                                   \
    } while (0)

/* It failed, with this code, and says so in these words. */
#define assert_fails(call, err, wanted_code, words)                                                \
    do {                                                                                           \
        (err).code = ERR_NONE;                                                                     \
        (err).msg[0] = '\0';                                                                       \
        assert_int_equal((call), -1);                                                              \
        assert_contains((err).msg, (words));                                                       \
        assert_string_equal(err_name((err).code), err_name(wanted_code));                          \
    } while (0)

#endif
