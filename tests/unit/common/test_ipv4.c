#include "../../../src/common/ipv4.h"

#include "../../support/cm.h"

static void address_has_one_way_to_be_written(void **state)
{
    static const char *const wrong[] = {"",          "1",        "1.2.3",     "1.2.3.4.5",
                                        "1.2.3.",    ".1.2.3",   "01.2.3.4",  "-0.2.3.4",
                                        "1.2.3.256", "1.2.3.-4", "1.2.3.4 ",  " 1.2.3.4",
                                        "1..2.3",    "::1",      "1.2.3.4/8", "255.255.255.2555"};
    uint32_t address;
    char text[IPV4_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (ipv4_parse(wrong[i], &address))
            fail_msg("\"%s\" was taken", wrong[i]);
    assert_true(ipv4_parse("198.19.0.1", &address));
    assert_int_equal(address, 0xc6130001u);
    ipv4_format(address, text);
    assert_string_equal(text, "198.19.0.1");
    assert_true(ipv4_parse("255.255.255.255", &address));
    assert_true(ipv4_parse("0.0.0.0", &address));
}

static void range_has_no_bit_beyond_its_prefix(void **state)
{
    static const char *const wrong[] = {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08",
                                        "10/8",       "10.0.0.0/-1", "/8"};
    struct ipv4_range range, other;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (ipv4_range_parse(wrong[i], &range))
            fail_msg("\"%s\" was taken", wrong[i]);
    assert_true(ipv4_range_parse("0.0.0.0/0", &range));
    assert_int_equal(ipv4_mask(range.prefix), 0);
    assert_true(ipv4_range_parse("1.2.3.4", &range));
    assert_int_equal(range.prefix, 32);
    assert_true(ipv4_range_parse("1.2.0.0/16", &other));
    assert_true(ipv4_overlap(&range, &other) && ipv4_overlap(&other, &range));
    assert_true(ipv4_range_parse("1.3.0.0/16", &other));
    assert_false(ipv4_overlap(&range, &other));
}

static void lists_name_the_wrong_word_and_the_bound(void **state)
{
    uint32_t addresses[2];
    struct ipv4_range ranges[2];
    uint16_t ports[3];
    struct err err;
    (void)state;
    assert_int_equal(ipv4_list_parse("", addresses, 2, &err), 0);
    assert_int_equal(ipv4_list_parse(" 1.1.1.1,,8.8.8.8 ", addresses, 2, &err), 2);
    assert_int_equal(addresses[1], 0x08080808);
    assert_fails(ipv4_list_parse("1.1.1.1 2.2.2.2 3.3.3.3", addresses, 2, &err), err,
                 ERR_BAD_REQUEST, "has more than 2 entries");
    assert_fails(ipv4_list_parse("1.1.1.1 dns", addresses, 2, &err), err, ERR_BAD_REQUEST,
                 "\"dns\" is not an IPv4 address");
    assert_int_equal(ipv4_ranges_parse("10.0.0.0/8, 1.2.3.4", ranges, 2, &err), 2);
    assert_int_equal(ranges[0].prefix, 8);
    assert_fails(ipv4_ranges_parse("10.0.0.1/8", ranges, 2, &err), err, ERR_BAD_REQUEST,
                 "\"10.0.0.1/8\" is not an IPv4 range");
    assert_int_equal(ipv4_ports_parse("1,65535", ports, 3, &err), 2);
    assert_int_equal(ports[1], 65535);
    assert_fails(ipv4_ports_parse("0", ports, 3, &err), err, ERR_BAD_REQUEST,
                 "\"0\" is not a port");
    assert_fails(ipv4_ports_parse("65536", ports, 3, &err), err, ERR_BAD_REQUEST, "1..65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_has_one_way_to_be_written),
        cmocka_unit_test(range_has_no_bit_beyond_its_prefix),
        cmocka_unit_test(lists_name_the_wrong_word_and_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
