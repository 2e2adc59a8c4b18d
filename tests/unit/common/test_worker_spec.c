#include "../../../src/common/config.h"
#include "../../../src/common/json.h"
#include "../../../src/common/worker_spec.h"
#include "../../support/cm.h"

#include <stdlib.h>

#define KEY "SHA256:0123456789abcdefghijklmnopqrstuvwxyzABCDEF+"

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *user, *host, *again;
        int port;
    } good[] = {
        {"w1", "", "w1", "w1", 0},
        {"root@w1.example.org:2222", "root", "w1.example.org", "root@w1.example.org:2222", 2222},
        {"me@10.0.0.1", "me", "10.0.0.1", "me@10.0.0.1", 0},
        {"[fe80::1]", "", "fe80::1", "[fe80::1]", 0},
        {"me@[::1]:22", "me", "::1", "me@[::1]:22", 22},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct worker_spec spec;
        struct err err;
        char target[WORKER_TARGET_MAX];
        assert_true(worker_spec_init(&spec, "w"));
        assert_ok(worker_spec_set(&spec, "ssh", good[i].text, &err), err);
        assert_string_equal(spec.user, good[i].user);
        assert_string_equal(spec.host, good[i].host);
        assert_int_equal(spec.port, good[i].port);
        worker_spec_target(&spec, target);
        assert_string_equal(target, good[i].again);
    }
}

/* Nothing that ssh or a shell could take for more than a word. */
static void test_values_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *words;
    } bad[] = {
        {"ssh", "", "the host must be"},
        {"ssh", "-oProxyCommand=x", "the host must be"},
        {"ssh", "-l@host", "the user must be"},
        {"ssh", "root@-host", "the host must be"},
        {"ssh", "@host", "the user must be"},
        {"ssh", "ho st", "the host must be"},
        {"ssh", "host\n", "the host must be"},
        {"ssh", "host%h", "the host must be"},
        {"ssh", "$(x)@host", "the user must be"},
        {"ssh", "host:0", "the port must be 1..65535"},
        {"ssh", "host:65536", "the port must be 1..65535"},
        {"ssh", "host:", "the port must be 1..65535"},
        {"ssh", "fe80::1", "the port must be 1..65535"},
        {"ssh", "[fe80::1", "is not [user@]host[:port]"},
        {"ssh", "[fe80::1]x", "is not [user@]host[:port]"},
        {"ssh", "0123456789012345678901234567890123@h", "1..32"},
        {"jump", "a,,b", "jump: the host must be"},
        {"jump", "a,-b", "jump: the host must be"},
        {"identity", "key", "an absolute path"},
        {"identity", "/a b", "an absolute path"},
        {"identity", "/%d/key", "an absolute path"},
        {"identity", "/k\x7f", "an absolute path"},
        {"socket", "/a:b", "an absolute path"},
        {"socket", "", "an absolute path"},
        {"host_key", "MD5:00", "host_key: must be SHA256:"},
        {"host_key", "SHA256:short", "43 letters of base64"},
        {"host_key", KEY "x", "43 letters of base64"},
        {"shell", "x", "unknown key \"shell\""},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct worker_spec spec, before;
        struct err err;
        worker_spec_init(&spec, "w");
        before = spec;
        assert_fails(worker_spec_set(&spec, bad[i].key, bad[i].value, &err), err, ERR_BAD_REQUEST,
                     bad[i].words);
        assert_memory_equal(&spec, &before, sizeof(spec));
    }
}

static void test_text_that_is_too_long(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t most;
    } keys[] = {
        {"socket", WORKER_SOCKET_MAX}, {"identity", WORKER_PATH_MAX}, {"ssh", WORKER_HOST_MAX}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct worker_spec spec;
        struct err err;
        char text[600];
        memset(text, 'a', sizeof(text));
        if (strcmp(keys[i].key, "ssh") != 0)
            text[0] = '/';
        text[keys[i].most] = '\0';
        worker_spec_init(&spec, "w");
        assert_ok(worker_spec_set(&spec, keys[i].key, text, &err), err);
        text[keys[i].most] = 'a';
        text[keys[i].most + 1] = '\0';
        assert_int_equal(worker_spec_set(&spec, keys[i].key, text, &err), -1);
        text[sizeof(text) - 1] = '\0';
        memset(text + 1, 'a', sizeof(text) - 2);
        assert_int_equal(worker_spec_set(&spec, keys[i].key, text, &err), -1);
    }
}

static void test_json_there_and_back(void **state)
{
    (void)state;
    static const char text[] =
        "{\"name\":\"w1\",\"ssh\":\"root@h:22\",\"identity\":\"/k\",\"jump\":\"a@b:1,c\","
        "\"hostKey\":\"" KEY "\",\"socket\":\"/run/x/worker.sock\",\"install\":true}";
    static const char *const also[] = {"install", NULL};
    struct worker_spec spec, again;
    struct err err;
    cleanup_json json_t *object = json_parse_object(text, strlen(text), false, &err);
    assert_ok(worker_spec_parse(object, also, &spec, &err), err);
    assert_string_equal(spec.jump, "a@b:1,c");
    assert_string_equal(spec.host_key, KEY);
    cleanup_json json_t *made = worker_spec_json(&spec);
    assert_ok(worker_spec_parse(made, NULL, &again, &err), err);
    assert_memory_equal(&spec, &again, sizeof(spec));
    assert_fails(worker_spec_parse(object, NULL, &spec, &err), err, ERR_BAD_REQUEST,
                 "install: unknown field");
}

static void test_json_that_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{}", "name: is missing"},
        {"{\"name\":\"W\"}", "name: must be a letter"},
        {"{\"name\":\"w\",\"ssh\":1}", "ssh: must be a string"},
        {"{\"name\":\"w\",\"ssh\":\"-x\"}", "ssh: the host"},
        {"{\"name\":\"w\",\"hostKey\":\"x\"}", "hostKey: must be"},
        {"{\"name\":\"w\",\"jump\":\"j\"}", "ssh: is missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct worker_spec spec;
        struct err err;
        cleanup_json json_t *object =
            json_parse_object(bad[i].text, strlen(bad[i].text), false, &err);
        assert_fails(worker_spec_parse(object, NULL, &spec, &err), err, ERR_BAD_REQUEST,
                     bad[i].words);
    }
}

static void test_hosts_of_the_settings(void **state)
{
    (void)state;
    static const char text[] = "[worker-host one]\nssh = root@one:2222\n"
                               "[oven]\nmin_available = 3\n"
                               "[worker-host two]\nsocket = /run/two/worker.sock\n";
    struct worker_specs hosts = {0};
    struct config config;
    struct err err;
    config_defaults(&config);
    assert_ok(config_parse(&config, text, "f", &err), err);
    assert_int_equal(config.oven_min_available, 3);
    assert_ok(config_parse_hosts(text, "f", &hosts, &err), err);
    assert_int_equal(hosts.count, 2);
    assert_string_equal(hosts.items[0].name, "one");
    assert_string_equal(hosts.items[0].host, "one");
    assert_string_equal(hosts.items[1].socket, "/run/two/worker.sock");
    worker_specs_finish(&hosts);
}

static void test_hosts_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"[worker-host One]\nssh = h\n", "f:2: \"One\" is no name of a worker"},
        {"[worker-host one]\nport = 1\n", "f:2: [worker-host one]: unknown key \"port\""},
        {"[worker-host one]\nssh = h\nssh = i\n", "f:3: [worker-host one]: ssh is set twice"},
        {"[worker-host one]\nssh = h\n[worker-host two]\nssh = h\n[worker-host one]\njump = h\n",
         "f:6: [worker-host one] is there already"},
        {"[worker-host one]\njump = h\n", "f: [worker-host one]: ssh: is missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config config;
        struct err err;
        config_defaults(&config);
        assert_fails(config_parse(&config, bad[i].text, "f", &err), err, ERR_BAD_REQUEST,
                     bad[i].words);
    }
}

static void test_too_many_hosts(void **state)
{
    (void)state;
    struct worker_specs specs = {0};
    struct err err;
    char name[20];
    for (int i = 0; i < WORKER_SPECS_MAX; i++) {
        snprintf(name, sizeof(name), "w%d", i);
        assert_non_null(worker_specs_put(&specs, name, &err));
    }
    assert_non_null(worker_specs_put(&specs, "w7", &err));
    assert_null(worker_specs_put(&specs, "more", &err));
    assert_contains(err.msg, "more than 1000 workers");
    worker_specs_finish(&specs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_values_that_are_refused),
        cmocka_unit_test(test_text_that_is_too_long),
        cmocka_unit_test(test_json_there_and_back),
        cmocka_unit_test(test_json_that_is_refused),
        cmocka_unit_test(test_hosts_of_the_settings),
        cmocka_unit_test(test_hosts_that_are_refused),
        cmocka_unit_test(test_too_many_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
