#include "../../../src/common/str.h"
#include "../../../src/link/ssh_words.h"
#include "../../support/cm.h"

#define KEY "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+"
#define OTHER "SHA256:9876543210abcdefghijklmnopqrstuvwxyzABCDEF+"

static bool has(char **words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

static bool has_part(char **words, const char *part)
{
    for (; *words; words++)
        if (strstr(*words, part))
            return true;
    return false;
}

static struct worker_spec spec_of(const char *ssh)
{
    struct worker_spec spec;
    struct err err;
    worker_spec_init(&spec, "w1");
    assert_ok(worker_spec_set(&spec, "ssh", ssh, &err), err);
    return spec;
}

static void test_words_of_a_link(void **state)
{
    (void)state;
    struct err err;
    struct worker_spec spec = spec_of("root@host:2222");
    assert_ok(worker_spec_set(&spec, "identity", "/keys/w1", &err), err);
    assert_ok(worker_spec_set(&spec, "jump", "a@b:1,c", &err), err);
    const struct ssh_request request = {.spec = &spec, .config = "/etc/x", .forward = "/f/w1.sock"};
    char **words = ssh_words(&request);
    static const char *const wanted[] = {
        "-F/etc/x",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "-i/keys/w1",
        "-Ja@b:1,c",
        "-lroot",
        "-p2222",
        "-L/f/w1.sock:/run/codeland/worker.sock",
        "-oSessionType=none",
        "host",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!has(words, wanted[i]))
            fail_msg("%s is not there", wanted[i]);
    assert_false(has_part(words, "HostKeyAlias"));
    assert_false(has_part(words, "StrictHostKeyChecking=no"));
    assert_false(has_part(words, "UserKnownHostsFile")); /* the user's own count */
    ssh_words_free(words);
}

static void test_words_of_a_command(void **state)
{
    (void)state;
    struct err err;
    struct worker_spec spec = spec_of("host");
    assert_ok(worker_spec_set(&spec, "host_key", KEY, &err), err);
    const struct ssh_request request = {
        .spec = &spec, .config = "", .family = 3, .command = "sh -s"};
    char **words = ssh_words(&request);
    assert_true(has(words, "-oHostKeyAlias=codeland-w1"));
    assert_true(has(words, "-oUserKnownHostsFile=/dev/null"));
    assert_true(has(words, "-oHostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256"));
    assert_true(has(words, "sh -s"));
    assert_true(has(words, "-oSessionType=default"));
    assert_true(has_part(words, KEY));
    assert_false(has_part(words, "IdentitiesOnly"));
    size_t count = 0;
    while (words[count])
        count++;
    assert_string_equal(words[count - 3], "--"); /* nothing after it is an option */
    ssh_words_free(words);
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(ssh_path_plain("/var/lib/codeland/manager/ssh/w1.sock"));
    assert_false(ssh_path_plain("relative"));
    assert_false(ssh_path_plain("/a:b"));
    assert_false(ssh_path_plain("/a%h"));
    assert_false(ssh_path_plain("/a b"));
}

struct line_case {
    const char *lines[4];
    const char *pin;
    enum err_code code;
    const char *words;
};

/* What OpenSSH 9.2 says, and what becomes of it. */
static void test_why_it_ended(void **state)
{
    (void)state;
    static const struct line_case cases[] = {
        {{"codeland-key " KEY " ssh-ed25519", "No ED25519 host key is known for h and you have",
          "Host key verification failed."},
         "",
         ERR_HOST_KEY,
         "the host's key " KEY " (ssh-ed25519) has not been accepted"},
        {{"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
          "codeland-key " KEY " ssh-rsa", "Host key verification failed."},
         "",
         ERR_HOST_KEY,
         "known_hosts has another"},
        {{"codeland-key " KEY " ssh-rsa", "Host key verification failed."},
         OTHER,
         ERR_HOST_KEY,
         "and " OTHER " is the one that was accepted"},
        {{"Host key verification failed."}, "", ERR_HOST_KEY, "a host on the way"},
        {{"codeland-key " KEY " ssh-rsa", "root@h: Permission denied (publickey,password)."},
         "",
         ERR_FORBIDDEN,
         "with keys alone, never with a password): root@h: Permission denied"},
        {{"ssh: connect to host h port 22: Connection refused"},
         "",
         ERR_BAD_GATEWAY,
         "ssh h: ssh: connect to host h port 22: Connection refused"},
        {{"Timeout, server h not responding."}, "", ERR_BAD_GATEWAY, "server h not responding"},
        {{""}, "", ERR_BAD_GATEWAY, "ssh h ended with 255"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ssh_story story = {0};
        struct err err;
        struct worker_spec spec = spec_of("h");
        if (cases[i].pin[0])
            assert_ok(worker_spec_set(&spec, "host_key", cases[i].pin, &err), err);
        for (size_t k = 0; k < 4 && cases[i].lines[k]; k++)
            ssh_story_line(&story, cases[i].lines[k]);
        assert_fails(ssh_story_explain(&story, &spec, 255, 0, &err), err, cases[i].code,
                     cases[i].words);
    }
}

static void test_a_signal(void **state)
{
    (void)state;
    struct ssh_story story = {0};
    struct err err;
    struct worker_spec spec = spec_of("h");
    assert_fails(ssh_story_explain(&story, &spec, 0, 15, &err), err, ERR_BAD_GATEWAY,
                 "killed by signal 15");
}

/* A proxy on the way may say more than people should see. */
static void test_secrets(void **state)
{
    (void)state;
    struct ssh_story story = {0};
    ssh_story_line(&story, "proxy http://joe:s3cret@proxy:3128 refused: token=abc");
    assert_string_equal(story.last_line, "proxy http://***@proxy:3128 refused: token=***");
}

static void test_lines_that_are_too_long(void **state)
{
    (void)state;
    struct ssh_story story = {0};
    char line[1001];
    memset(line, '.', 1000);
    line[1000] = '\0';
    ssh_story_line(&story, line);
    assert_int_equal(strlen(story.last_line), sizeof(story.last_line) - 1);
    memcpy(line, "codeland-key ", 13);
    ssh_story_line(&story, line);
    assert_string_equal(story.key, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_of_a_link),
        cmocka_unit_test(test_words_of_a_command),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_why_it_ended),
        cmocka_unit_test(test_a_signal),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_lines_that_are_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
