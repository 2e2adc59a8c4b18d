#include "../../../src/worker/hostinfo.h"

#include "../../../src/common/json.h"
#include "../../support/cm.h"
#include "../../support/scratch.h"

static const char meminfo[] = "MemTotal:       24684032 kB\n"
                              "MemFree:        20000000 kB\n"
                              "MemAvailable:   22215628 kB\n"
                              "SwapCached:            7 kB\n"
                              "SwapTotal:       1000000 kB\n"
                              "SwapFree:         900000 kB\n"
                              "HugeMemFree:         999 kB\n";

static void figures_are_read_in_bytes(void **state)
{
    struct host_memory memory;
    (void)state;
    hostinfo_parse_memory(meminfo, &memory);
    assert_int_equal(memory.total, 24684032LL * 1024);
    assert_int_equal(memory.free, 20000000LL * 1024);
    assert_int_equal(memory.available, 22215628LL * 1024);
    assert_int_equal(memory.swap_total, 1000000LL * 1024);
    assert_int_equal(memory.swap_free, 900000LL * 1024);
    assert_int_equal(hostinfo_memory_used_percent(&memory), 10);
}

static void figures_that_are_not_there_are_zero(void **state)
{
    struct host_memory memory;
    (void)state;
    hostinfo_parse_memory("", &memory);
    assert_int_equal(memory.total, 0);
    assert_int_equal(hostinfo_memory_used_percent(&memory), 0);
    hostinfo_parse_memory("HugeMemTotal: 5 kB\n", &memory);
    assert_int_equal(memory.total, 0);
    /* More available than there is: what is in use cannot be negative. */
    hostinfo_parse_memory("MemTotal: 100 kB\nMemAvailable: 200 kB\n", &memory);
    assert_int_equal(memory.available, 100 * 1024);
    assert_int_equal(hostinfo_memory_used_percent(&memory), 0);
    hostinfo_parse_memory("MemTotal: 100 kB\nMemAvailable: 0 kB\n", &memory);
    assert_int_equal(hostinfo_memory_used_percent(&memory), 100);
}

static int64_t number(const json_t *object, const char *group, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(object, group), key));
}

static void this_machine_is_described(void **state)
{
    struct host_memory memory;
    (void)state;
    hostinfo_memory(&memory);
    assert_true(memory.total > 0 && memory.available > 0 && memory.available <= memory.total);
    cleanup_json json_t *object = json_object();
    hostinfo_describe(object, "/");
    assert_int_equal(number(object, "memory", "total"), memory.total);
    assert_true(number(object, "memory", "used") > 0);
    assert_true(number(object, "disk", "total") >= number(object, "disk", "used"));
    assert_true(number(object, "disk", "available") <= number(object, "disk", "total"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(object, "disk"), "path")),
                        "/");
    assert_int_equal(json_array_size(json_object_get(object, "load")), 3);
}

static void processes_have_a_bound(void **state)
{
    (void)state;
    assert_in_range(hostinfo_processes_most(), 100, 4194304);
}

static void disk_is_that_of_the_path(void **state)
{
    char folder[PATH_MAX];
    (void)state;
    scratch_make(folder);
    scratch_small(folder, 1 << 20);
    cleanup_json json_t *object = json_object();
    hostinfo_describe(object, folder);
    const json_t *disk = json_object_get(object, "disk");
    assert_int_equal(number(object, "disk", "total"), 1 << 20);
    assert_string_equal(json_string_value(json_object_get(disk, "filesystem")), "tmpfs");
    scratch_remove(folder);
}

static void path_that_is_not_there_has_no_disk(void **state)
{
    (void)state;
    cleanup_json json_t *object = json_object();
    hostinfo_describe(object, "/nonexistent/folder");
    assert_int_equal(json_object_size(json_object_get(object, "disk")), 0);
}

int main(void)
{
    scratch_own_mounts();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_read_in_bytes),
        cmocka_unit_test(figures_that_are_not_there_are_zero),
        cmocka_unit_test(this_machine_is_described),
        cmocka_unit_test(processes_have_a_bound),
        cmocka_unit_test(disk_is_that_of_the_path),
        cmocka_unit_test(path_that_is_not_there_has_no_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
