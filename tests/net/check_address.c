/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net/address: what -l accepts, how it is understood, and the texts that refuse
 * the rest, which scripts may look for.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "net/address.h"

struct reading {
    const char *entry;
    const char *host;
    int port;
};

static const struct reading GOOD[] = {
    { "127.0.0.1", "127.0.0.1", -1 },
    { "127.0.0.1:11212", "127.0.0.1", 11212 },
    { "localhost:0", "localhost", 0 },
    { "*", "", -1 },
    { "*:65535", "", 65535 },
    { "::1", "::1", -1 },
    { "fe80::1%lo", "fe80::1%lo", -1 },
    { "[::1]", "::1", -1 },
    { "[::1]:11212", "::1", 11212 },
    { "proto[ascii]:127.0.0.1", "127.0.0.1", -1 },
    { "proto[negotiating]:127.0.0.1:1", "127.0.0.1", 1 },
    { "proto[asc]:*", "", -1 },
    { "proto[binary]:127.0.0.1", "127.0.0.1", -1 },
    { "tag[a]:127.0.0.1", "127.0.0.1", -1 },
    { "tag[12345678]:[::1]:7", "::1", 7 },
    { "tag_web_:localhost", "localhost", -1 },
    { "proto[ascii]:tag[b]:localhost:3", "localhost", 3 },
};

START_TEST(an_entry_is_understood)
{
    const struct reading *reading = &GOOD[_i];
    struct address address;
    char why[ADDRESS_WHY_MAX] = "";

    ck_assert_msg(address_parse(slice_of(reading->entry, strlen(reading->entry)),
                      true, &address, why),
        "%s: %s", reading->entry, why);
    ck_assert_str_eq(address.host, reading->host);
    ck_assert_int_eq(address.port, reading->port);
    ck_assert_int_eq(address.tls, TLS_AS_OPTIONS);
}
END_TEST

static const struct {
    const char *entry;
    enum tls_demand tls;
} DEMANDS[] = {
    { "notls:127.0.0.1", TLS_NEVER },
    { "btls:[::1]:7", TLS_WITHOUT_CERTIFICATE },
    { "mtls:proto[ascii]:tag[b]:*:3", TLS_WITH_CERTIFICATE },
    { "proto[ascii]:localhost", TLS_AS_OPTIONS },
};

START_TEST(an_entry_says_how_tls_is_spoken)
{
    const char *entry = DEMANDS[_i].entry;
    struct address address;
    char why[ADDRESS_WHY_MAX] = "";

    ck_assert_msg(
        address_parse(slice_of(entry, strlen(entry)), true, &address, why), "%s", why);
    ck_assert_int_eq(address.tls, DEMANDS[_i].tls);
}
END_TEST

struct refusal {
    const char *entry;
    const char *why;
};

static const struct refusal BAD[] = {
    { "", "Invalid address: \"\"" },
    { ":11211", "Invalid address: \":11211\"" },
    { "127.0.0.1:xyz", "Invalid port number: \"xyz\"" },
    { "127.0.0.1:", "Invalid port number: \"\"" },
    { "127.0.0.1:65536", "Invalid port number: \"65536\"" },
    { "127.0.0.1:99999999999999999999", "Invalid port number" },
    { "127.0.0.1:-1", "Invalid port number: \"-1\"" },
    { "[::1", "Invalid IPv6 address: \"[::1\"" },
    { "[::1]11211", "Invalid IPv6 address" },
    { "[]", "Invalid address: \"[]\"" },
    { "notls:127.0.0.1", "'notls' option is valid only when SSL is enabled" },
    { "btls:127.0.0.1", "'btls' option is valid only when SSL is enabled" },
    { "mtls:127.0.0.1", "'mtls' option is valid only when SSL is enabled" },
    { "proto[proxy]:127.0.0.1", "not built with" },
    { "proto[http]:127.0.0.1", "Unknown protocol of a listener: \"http\"" },
    { "proto[]:127.0.0.1", "Unknown protocol of a listener: \"\"" },
    { "proto[ascii", "Invalid protocol of a listener" },
    { "tag[ninechars]:127.0.0.1",
        "Listener tags must be between 1 and 8 characters: \"ninechars\"" },
    { "tag[]:127.0.0.1", "Listener tags must be between 1 and 8 characters: \"\"" },
    { "tag[a]127.0.0.1", "Invalid tag of a listener" },
    { "tag[a", "Invalid tag of a listener" },
};

START_TEST(a_bad_entry_is_refused_with_its_reason)
{
    const struct refusal *refusal = &BAD[_i];
    struct address address;
    char why[ADDRESS_WHY_MAX] = "";

    ck_assert(!address_parse(
        slice_of(refusal->entry, strlen(refusal->entry)), false, &address, why));
    ck_assert_msg(strstr(why, refusal->why) != NULL, "%s: %s", refusal->entry, why);
}
END_TEST

/* The parser may look at nothing behind the entry: the list goes on there. */
START_TEST(an_entry_ends_where_it_ends)
{
    struct address address;
    char why[ADDRESS_WHY_MAX];

    ck_assert(address_parse(slice_of("[::1]:1123", 9), false, &address, why));
    ck_assert_int_eq(address.port, 112);
    ck_assert(address_parse(slice_of("tag[a]:hosts:5", 11), false, &address, why));
    ck_assert_str_eq(address.host, "host");
}
END_TEST

/* An entry after the last separator is one too, and a bad one does not end the list. */
START_TEST(a_list_is_read_to_its_end)
{
    const char *list = "[::1]:1,b;,c:4";
    struct address address;
    char why[ADDRESS_WHY_MAX];

    ck_assert(address_next(&list, false, &address, why));
    ck_assert_int_eq(address.port, 1);
    ck_assert(address_next(&list, false, &address, why));
    ck_assert_str_eq(address.host, "b");
    ck_assert(!address_next(&list, false, &address, why));
    ck_assert_ptr_nonnull(list);
    ck_assert(address_next(&list, false, &address, why));
    ck_assert_str_eq(address.host, "c");
    ck_assert_int_eq(address.port, 4);
    ck_assert_ptr_null(list);
    list = "a,";
    ck_assert(address_next(&list, false, &address, why));
    ck_assert(!address_next(&list, false, &address, why));
    ck_assert_ptr_null(list);
}
END_TEST

START_TEST(a_host_name_has_a_longest_length)
{
    char name[ADDRESS_HOST_MAX + 1], why[ADDRESS_WHY_MAX];
    struct address address;

    memset(name, 'a', sizeof name);
    ck_assert(address_parse(slice_of(name, ADDRESS_HOST_MAX - 1), false, &address, why));
    ck_assert(!address_parse(slice_of(name, ADDRESS_HOST_MAX), false, &address, why));
}
END_TEST

START_TEST(addresses_are_shown_as_statistics_want_them)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(5) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(6),
        .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/s" };
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    char text[112], tiny[8];

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_text((struct sockaddr *)&in, sizeof in, text, sizeof text);
    ck_assert_str_eq(text, "tcp:127.0.0.1:5");
    address_text((struct sockaddr *)&in6, sizeof in6, text, sizeof text);
    ck_assert_str_eq(text, "tcp6:[::1]:6");
    address_text((struct sockaddr *)&un, sizeof un, text, sizeof text);
    ck_assert_str_eq(text, "unix:/run/s");
    memset(un.sun_path, 'x', sizeof un.sun_path); /* the longest has no terminator */
    address_text((struct sockaddr *)&un, sizeof un, text, sizeof text);
    ck_assert_uint_le(strlen(text), 5 + sizeof un.sun_path);
    memcpy(un.sun_path, "\0abstract", 9);
    address_text((struct sockaddr *)&un, (socklen_t)offsetof(struct sockaddr_un, sun_path) + 9,
        text, sizeof text);
    ck_assert_str_eq(text, "unix:@abstract");
    address_text((struct sockaddr *)&un, sizeof un.sun_family, text, sizeof text);
    ck_assert_str_eq(text, "unix:"); /* a client that has no name */
    address_text(&none, sizeof none, text, sizeof text);
    ck_assert_str_eq(text, "?:<AF 0>");
    address_text((struct sockaddr *)&in6, sizeof in6, tiny, sizeof tiny);
    ck_assert_uint_lt(strlen(tiny), sizeof tiny);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("address");
    TCase *tc = tcase_create("address");

    tcase_add_loop_test(tc, an_entry_is_understood, 0, sizeof GOOD / sizeof *GOOD);
    tcase_add_loop_test(
        tc, an_entry_says_how_tls_is_spoken, 0, sizeof DEMANDS / sizeof *DEMANDS);
    tcase_add_loop_test(
        tc, a_bad_entry_is_refused_with_its_reason, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(tc, an_entry_ends_where_it_ends);
    tcase_add_test(tc, a_list_is_read_to_its_end);
    tcase_add_test(tc, a_host_name_has_a_longest_length);
    tcase_add_test(tc, addresses_are_shown_as_statistics_want_them);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
