#include "../../../src/common/mask.h"

#include "../../support/cm.h"

#include <string.h>

#define HEX40 "0123456789abcdef0123456789abcdef01234567"
#define FINGERPRINT "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+"

static void what_is_masked(void **state)
{
    static const char *const cases[][2] = {
        {"proxy http://joe:s3cret@proxy:3128/ refused", "proxy http://***@proxy:3128/ refused"},
        {"https://token@h", "https://***@h"},
        {"ftp://a:p@ss@h/x@y", "ftp://***@h/x@y"},
        {"password=hunter2, and more", "password=***, and more"},
        {"Password : hunter2", "Password : ***"},
        {"PASSPHRASE: 'two words' wrong", "PASSPHRASE: *** wrong"},
        {"x-api-key: \"a\\b\" end", "x-api-key: *** end"},
        {"password=\"never closed", "password=***"},
        {"my_secret=a&token=b;c", "my_secret=***&token=***;c"},
        {"Authorization: Basic YTpi and on", "Authorization: ***"},
        {"auth: Bearer abc.def x", "auth: Bearer *** x"},
        {"Set-Cookie: a=b; c=d", "Set-Cookie: ***"},
        {"the token cl_" HEX40 " is old", "the token *** is old"},
        {"key (" HEX40 ")", "key (***)"},
        {"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW", "***"},
        {"/b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt/W", "***"},
    };
    char masked[240];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mask_secrets(cases[i][0], masked, sizeof(masked));
        assert_string_equal(masked, cases[i][1]);
    }
}

static void what_ssh_says_stays(void **state)
{
    static const char *const lines[] = {
        "",
        "ssh: connect to host h port 22: Connection refused",
        "root@h: Permission denied (publickey,password).",
        "Load key \"/var/lib/codeland/manager/ssh/a-long-name-of-a-worker-in-lab-one.key\": error",
        "Enter passphrase for key '/root/.ssh/id_ed25519':",
        "The host's key is " FINGERPRINT " (ssh-ed25519)",
        "no match. Their offer: diffie-hellman-group-exchange-sha256,diffie-hellman-group1-sha1",
        "kex_exchange_identification: Connection closed by remote host",
        "http://proxy:3128/a@b password",
        "password:",
    };
    char masked[240];
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        mask_secrets(lines[i], masked, sizeof(masked));
        assert_string_equal(masked, lines[i]);
    }
}

static void a_cut_line_has_no_half_of_a_secret(void **state)
{
    const char *line = "http://joe:s3cret@h password=hunter2 cl_" HEX40 " end";
    char masked[120];
    (void)state;
    for (size_t room = 1; room <= sizeof(masked); room++) {
        memset(masked, 'x', sizeof(masked));
        mask_secrets(line, masked, room);
        assert_true(memchr(masked, '\0', room) != NULL);
        assert_null(strstr(masked, "joe"));
        assert_null(strstr(masked, "hunter"));
        assert_null(strstr(masked, "cl_"));
    }
    assert_string_equal(masked, "http://***@h password=*** *** end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_masked),
        cmocka_unit_test(what_ssh_says_stays),
        cmocka_unit_test(a_cut_line_has_no_half_of_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
