/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/options: every invocation that memcached takes is taken, with the same
 * result; every one that it refuses is refused with the same status; and what it lets
 * pass as 0, garbage where a number belongs, is refused by name.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/option_rows.h"
#include "base/options.h"
#include "base/service.h"

#define WORDS_MAX 40
#define SAID_MAX  65536

static char said[SAID_MAX];

/* Runs options_parse() on a command line, words separated by blanks ("''" is an empty
 * one), and keeps what it printed. The caller frees `options`. */
static int
parse(struct options *options, const char *line)
{
    char copy[1024], *words[WORDS_MAX + 2] = { (char[]){ "larder" } }, *rest = copy, *word;
    int count = 1, streams[2] = { STDOUT_FILENO, STDERR_FILENO }, saved[2];
    FILE *file = tmpfile();

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(strlen(line), sizeof copy);
    strcpy(copy, line);
    while ((word = strsep(&rest, " ")) != NULL && *word != '\0') {
        ck_assert_int_lt(count, WORDS_MAX + 1);
        words[count++] = strcmp(word, "''") == 0 ? word + 2 : word;
    }
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(streams[i]);
        dup2(fileno(file), streams[i]);
    }
    options_init(options);
    int status = options_parse(options, count, words);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], streams[i]);
        close(saved[i]);
    }
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = '\0';
    fclose(file);
    return status;
}

struct refusal {
    const char *line;
    int status;
    const char *said;
};

static const struct refusal REFUSALS[] = {
    { "-m 1", 64, "Cannot set item size limit higher than 1/2 of memory max.\n" },
    { "-m 0", 64, "Cannot set item size limit higher than 1/2 of memory max.\n" },
    { "-m lots", 64, "Cannot set item size limit higher than 1/2 of memory max.\n" },
    { "-m lots", 64, "--memory-limit" },
    { "-m -5", 64, "--memory-limit" },
    { "-m 1g", 64, "--memory-limit" },
    { "-m 0%", 64, "--memory-limit" },
    { "-m 101%", 64, "--memory-limit" },
    { "-m most", 64, "--memory-limit" },
    { "--memory-total 15", 64, "--memory-total: must be at least 16 (MiB)" },
    { "--memory-total 0%", 64, "--memory-total" },
    { "--memory-total 101%", 64, "--memory-total" },
    { "--memory-total x%", 64, "--memory-total" },
    { "--memory-total 99999999999", 64, "--memory-total" },
    { "--listener ''", 1, "--listener: no address\n" },
    { "--listener ,deny=flush", 1, "--listener: no address\n" },
    { "--listener unix:s", 1, "--listener: not unix:/path: \"unix:s\"\n" },
    { "--listener unix:", 1, "--listener: not unix:/path: \"unix:\"\n" },
    { "--listener unix:/3456789012345678901234567890123456789012345678901234567890123456789"
      "0123456789012345678901234567890123456789", 1, "--listener: longer than 107 bytes" },
    { "--listener /run/s", 1, "--listener: not an address, nor unix:/path: \"/run/s\"\n" },
    { "--listener a:1;b:2", 1, "--listener: not an address" },
    { "--listener unix:/s --listener unix:/s", 1, "--listener: given twice: \"unix:/s\"\n" },
    { "-s /s --listener unix:/s", 1, "--listener: the socket of -s, too: \"/s\"\n" },
    { "--listener a:1,nmaespace=x", 1,
        "--listener: unknown word \"nmaespace\"\nNearest: namespace\n" },
    { "--listener a:1,,", 1, "--listener: unknown word \"\"\n" },
    { "--listener a:1,namespace", 1, "--listener: needs a value: namespace\n" },
    { "--listener a:1,namespace=", 1, "--listener: needs a value: namespace\n" },
    { "--listener a:1,namespace=a/b", 1, "--listener: namespace: not 1 to 32 of" },
    { "--listener a:1,namespace=012345678901234567890123456789012", 1, "not 1 to 32 of" },
    { "--listener a:1,namespace=a", 1,
        "--listener: namespace \"a\": none of its listeners says memory=\n" },
    { "--listener a:1,namespace=a,memory=8 --listener a:2,namespace=a,memory=8", 1,
        "--listener: memory: namespace \"a\" has been given some already\n" },
    { "--listener a:1,memory=8", 1,
        "--listener: memory: namespace \"default\" has what -m says\n" },
    { "--listener a:1,memory=8,namespace=default", 1, "\"default\" has what -m says" },
    { "--listener a:1,namespace=a,memory=1", 1,
        "--listener: memory: namespace \"a\" needs at least 2 MiB and twice -I (1048576)" },
    { "-I 8m --listener a:1,namespace=a,memory=15", 1, "twice -I (8388608)" },
    { "--listener a:1,namespace=a,memory=0", 1, "--listener: memory: must be between 2 and" },
    { "--listener a:1,namespace=a,memory=8388609", 1, "memory: must be between 2 and" },
    { "--listener a:1,namespace=a,memory=-8", 1,
        "--listener: memory: not a number of MiB, nor one with k, m or g: \"-8\"\n" },
    { "--listener a:1,namespace=a,memory=70%", 1, "memory: not a number of MiB" },
    { "--listener a:1,namespace=a,memory=m", 1, "memory: not a number of MiB" },
    { "--listener a:1,namespace=a,memory=8t", 1, "memory: not a number of MiB" },
    { "--listener a:1,deny=reads", 1, "--listener: deny: must be admin, flush or write, "
      "joined by +, not \"reads\"\n" },
    { "--listener a:1,deny=admin+wirte", 1, "not \"wirte\"\nNearest: write\n" },
    { "--listener a:1,deny=admin+", 1, "not \"\"\n" },
    { "--listener a:1,deny=flush,deny=flush", 1, "--listener: given twice: deny\n" },
    { "--listener a:1,mode=0660", 1,
        "--listener: mode: only a unix socket has that, not \"a:1\"\n" },
    { "--listener a:1,group=0", 1, "--listener: group: only a unix socket" },
    { "--listener a:1,users=0", 1, "--listener: users: only a unix socket" },
    { "--listener unix:/s,mode=0668", 1,
        "--listener: mode: not octal permissions: \"0668\"\n" },
    { "--listener unix:/s,mode=1777", 1, "--listener: mode: not octal permissions" },
    { "--listener unix:/s,users=a++b", 1,
        "--listener: users: must be names or numbers, joined by +: \"a++b\"\n" },
    { "--listener unix:/s,users=+", 1, "--listener: users: must be names or numbers" },
    { "--memory-total 20 --listener a:1,namespace=a,memory=8", 64,
        "--memory-total: 20 MiB are less than the namespaces' 8 MiB and 16 MiB for "
        "everything else\n" },
    { "-o eviction=x", 64, "-o eviction: must be segmented or lru, not \"x\"\n" },
    { "-o object_bias=101", 1, "object_bias: must be between 0 and 100" },
    { "-o object_bias=-1", 1, "object_bias: must be between 0 and 100" },
    { "-o counter_reserve=51", 1, "counter_reserve: must be between 0 and 50" },
    { "-o counter_reserve=-1", 1, "counter_reserve: must be between 0 and 50" },
    { "-m 99999999999999999999", 64, "--memory-limit" },
    { "-m 9999999999", 64, "--memory-limit" },
    { "-c 0", 1, "Maximum connections must be greater than 0\n" },
    { "-c -1", 1, "Maximum connections must be greater than 0\n" },
    { "-c many", 1, "--conn-limit" },
    { "-t 0", 1, "Number of threads must be greater than 0\n" },
    { "-t two", 1, "--threads" },
    { "-t 5000", 1, "--threads" },
    { "-f 1", 1, "Factor must be greater than 1\n" },
    { "-f big", 1, "Factor must be greater than 1\n" },
    { "-f nan", 1, "Factor must be greater than 1\n" },
    { "-f inf", 1, "--slab-growth-factor" },
    { "-n 0", 1, "Chunk size must be greater than 0\n" },
    { "-R 0", 1, "Number of requests per event must be greater than 0\n" },
    { "-B text", 64,
        "Invalid value for binding protocol: text\n"
        " -- should be one of auto, binary, or ascii\n" },
    { "-I 1000", 64, "Item max size cannot be less than 1024 bytes.\n" },
    { "-I 1g", 64, "Item max size cannot be less than 1024 bytes.\n" },
    { "-I -5", 64, "Item max size cannot be less than 1024 bytes.\n" },
    { "-I 99999999999m", 64, "higher than" },
    { "-I 4k", 64,
        "slab_chunk_max (bytes: 524288) cannot be larger than -I (item_size_max 4096)\n" },
    { "-I 700k", 64,
        "-I (item_size_max: 716800) must be evenly divisible by slab_chunk_max (bytes: "
        "524288)\n" },
    { "-I 40m", 64, "Cannot set item size limit higher than 1/2 of memory max.\n" },
    { "-m 4096 -I 1025m", 64, "gigabyte" },
    { "-I 1k -o slab_chunk_max=3", 64, "cannot be larger" },
    { "-I 3m -o slab_chunk_max=768", 64, "1 MiB" },
    { "-p 70000", 64, "ERROR: Invalid port number 70000.\n" },
    { "-p http", 1, "--port" },
    { "-p -2", 1, "--port" },
    { "-p ''", 1, "--port" },
    { "-U 70000", 64, "70000" },
    { "-U x", 1, "--udp-port" },
    { "-U -2", 1, "--udp-port" },
    { "-o udp_amplification=-1", 1, "udp_amplification" },
    { "-o udp_amplification=65536", 1, "udp_amplification" },
    { "-o udp_amplification", 1, "Missing numeric argument for udp_amplification\n" },
    { "-b lots", 1, "--listen-backlog" },
    { "-a 999", 1, "--unix-mask" },
    { "-a 07777", 1, "--unix-mask" },
    { "-a ''", 1, "--unix-mask" },
    { "-D ''", 1, "delimiter" },
    { "-u ''", 1, "--user" },
    { "-N 0", 1, "greater than 0" },
    { "-N 5", 64, "threads" },
    { "-o turbo", 1, "Illegal suboption \"turbo\"\n" },
    { "-o modern,,modern", 1, "Illegal suboption \"\"\n" },
    { "-o hashpower=11", 1, "Initial hashtable multiplier of 11 is too low\n" },
    { "-o hashpower=33", 1, "Initial hashtable multiplier of 33 is too high\n" },
    { "-o hashpower", 1, "Missing" },
    { "-o slab_automove=3", 1, "slab_automove must be between 0 and 2\n" },
    { "-o slab_automove=x", 1, "slab_automove must be between 0 and 2\n" },
    { "-o slab_automove_ratio=0", 1, "slab_automove_ratio" },
    { "-o slab_automove_ratio=1.1", 1, "slab_automove_ratio" },
    { "-o slab_automove_window=2", 1, "between 3 and 1800" },
    { "-o slab_automove_window=1801", 1, "slab_automove_window" },
    { "-o tail_repair_time=9", 1, "10 seconds" },
    { "-o hash_algorithm=md5", 1, "md5" },
    { "-o hash_algorithm", 1, "Missing" },
    { "-o lru_crawler_sleep=1000001", 1, "lru_crawler_sleep" },
    { "-o lru_crawler_sleep=x", 1, "lru_crawler_sleep" },
    { "-o lru_crawler_tocrawl=x", 1, "lru_crawler_tocrawl" },
    { "-o lru_crawler_tocrawl=4294967296", 1, "lru_crawler_tocrawl" },
    { "-o hot_lru_pct=0", 1, "hot_lru_pct" },
    { "-o warm_lru_pct=80", 1, "warm_lru_pct" },
    { "-o hot_lru_pct=45,warm_lru_pct=45", 64,
        "hot_lru_pct + warm_lru_pct cannot be more than 80% combined\n" },
    { "-o hot_max_factor=0", 1, "hot_max_factor" },
    { "-o temporary_ttl=30,no_lru_maintainer", 64,
        "temporary_ttl requires lru_maintainer to be enabled\n" },
    { "-o temporary_ttl=x", 1, "temporary_ttl" },
    { "-o flush_prefix", 1, "flush_prefix" },
    { "-o flush_prefix=", 1, "flush_prefix" },
    { "-o flush_prefix=,", 1, "flush_prefix" },
    { "-o flush_prefix=a\tb", 1, "-o flush_prefix: must be 1 to 64 bytes without blanks, "
        "control characters and commas: \"a\tb\"\n" },
    { "-o flush_prefix=\x7f", 1, "flush_prefix" },
    { "-o flush_prefix=0123456789012345678901234567890123456789012345678901234567890123x", 1,
        "64" },
    { "-o slab_sizes=200-150", 64,
        "slab size 150 cannot be lower than or equal to a previous class size\n" },
    { "-o slab_sizes=200-208", 64, "208" },
    { "-o slab_sizes=10-100", 64, "10" },
    { "-o slab_sizes=100-600000", 64, "600000" },
    { "-o slab_sizes", 1, "Missing" },
    { "-o slab_sizes=", 1, "slab_sizes" },
    { "-o slab_sizes=100-", 1, "slab_sizes" },
    { "-o slab_sizes=100--200", 1, "slab_sizes" },
    { "-o slab_chunk_max=4096", 1, "slab_chunk_max must be specified in kilobytes.\n" },
    { "-o slab_chunk_max=0", 1, "slab_chunk_max must be specified in kilobytes.\n" },
    { "-o slab_chunk_max=x", 1, "slab_chunk_max" },
    { "-o idle_timeout", 1, "Missing numeric argument for idle_timeout\n" },
    { "-o idle_timeout=x", 1, "idle_timeout" },
    { "-o watcher_logbuf_size=x", 1, "watcher_logbuf_size" },
    { "-o read_buf_mem_limit=x", 1, "read_buf_mem_limit" },
    { "-o sock_cookie_id=-1", 1, "sock_cookie_id" },
#ifdef HAVE_TLS
    { "-o ssl_verify_mode=4", 1, "ssl_verify_mode" },
    { "-o ssl_verify_mode=-1", 1, "ssl_verify_mode" },
    { "-o ssl_verify_mode=all", 1, "ssl_verify_mode" },
    { "-o ssl_keyformat=pem", 1, "ssl_keyformat" },
    { "-o ssl_min_version=4", 1, "ssl_min_version" },
    { "-o ssl_min_version=tlsv1.2", 1, "ssl_min_version" },
    { "-o ssl_wbuf_size=0", 1, "ssl_wbuf_size" },
    { "-o ssl_wbuf_size=x", 1, "ssl_wbuf_size" },
    { "-o ssl_chain_cert=", 1, "ssl_chain_cert" },
    { "-o ssl_ca_cert", 1, "Missing" },
#else
    { "-o ssl_key=f", 64, "TLS" },
    { "-Z", 64, "TLS" },
#endif
    { "-o ssl_key", 1, "Missing" },
    { "-o ext_path=f:1m", 64, "external storage" },
    { "-o proxy_config=f", 64, "the proxy" },
    { "-Y f -B binary", 64,
        "ERROR: You cannot allow the BINARY protocol while using ascii authentication "
        "tokens.\n" },
    { "-Y f -U 11211", 64,
        "Cannot use UDP with ascii authentication enabled (-U 0 to disable)\n" },
    { "-Z -p 0", 64, "ERROR: You cannot enable SSL without a TCP port.\n" },
#ifndef HAVE_SASL
    { "-S", 64, "SASL" },
#endif
    { "-Y f -B auto", 64, "ascii authentication tokens" },
    { "-Y f -S", 64, "" },
    { "-S -B ascii", 64, "" },
    { "-S -B auto", 64, "" },
    { "-S -U 1", 64, "" },
    { "-L -e f", 64, "can't be kept over a restart" },
    { "-L -o handover=process", 64, "can't be kept over a restart" },
    { "-o handover=on", 64, "must be off, manager or process" },
    { "--nonsense", 1, "Illegal argument \"?\"\n" },
    { "-p", 1, "Illegal argument \"?\"\n" },
    { "--lru", 1, "Illegal argument \"?\"\n" },
    { "extra", 64, "Unexpected argument \"extra\"\n" },
};

START_TEST(a_bad_value_is_refused_with_memcacheds_status)
{
    const struct refusal *refusal = &REFUSALS[_i];
    struct options options;

    int status = parse(&options, refusal->line);
    ck_assert_msg(status == refusal->status, "%s: %d", refusal->line, status);
    ck_assert_msg(strstr(said, refusal->said) != NULL, "%s: said \"%s\"", refusal->line,
        said);
    options_fini(&options);
}
END_TEST

static const char *const GOOD[] = {
    "",
    "-d -p 11211 -u memcache -m 64 -l 127.0.0.1 -c 1024 -P /run/m.pid",
    "-vv --verbose --verbose=3",
    "--port=11212 --memory-l 128 --threads=2",
    "-o modern,inline_ascii_resp,no_drop_privileges",
    "-o no_modern -o modern",
    "-o maxconns_fast=7",
    "-o ''",
    "-o slab_reassign,slab_automove,slab_automove=2,no_slab_automove,lru_crawler",
    "-o lru_maintainer,hot_lru_pct=32,warm_lru_pct=32,hot_max_factor=0.1",
    "-o temporary_ttl=30,tail_repair_time=10,lru_crawler_sleep=0,resp_obj_mem_limit=3",
    "-o hash_algorithm=jenkins,hashpower=12,no_hashexpand,relaxed_privileges",
    "-o slab_sizes=100-200-300",
    "-o idle_timeout=0,watcher_logbuf_size=1,worker_logbuf_size=0,track_sizes",
    "-o read_buf_mem_limit=8,sock_cookie_id=3,no_chunked_items",
    "-I 1k -o slab_chunk_max=1",
    "-m 2048 -I 1024m",
    "-U 11211 -o udp_amplification=0",
    "--listener a:1 --listener [::1]:1,deny=flush+flush --listener unix:/s,mode=7",
    "--listener a:1,namespace=a --listener a:2,memory=2m,namespace=a",
    "--listener proto[ascii]:a:1,namespace=default,deny=write",
    "--memory-total 24 --listener a:1,namespace=a,memory=8",
    "-U -1 -p 0",
    "-U 0 -p -1 -a 0777 -b 0 -R 1 -n 1 -f 1.01 -D : -L -k -M -C -F -X -W -A -r",
    "-B auto -B ascii",
    "-t 65",
    "-n 2000000",
#ifdef HAVE_TLS
    "-Z -o ssl_chain_cert=c,ssl_key=k,ssl_ca_cert=a,ssl_verify_mode=2,ssl_ciphers=HIGH:!3DES",
    "-o ssl_keyformat=2,ssl_min_version=3,ssl_wbuf_size=64,ssl_session_cache,ssl_kernel_tls",
#endif
};

START_TEST(what_memcached_takes_is_taken)
{
    struct options options;

    ck_assert_msg(parse(&options, GOOD[_i]) == -1, "%s: said \"%s\"", GOOD[_i], said);
    options_fini(&options);
}
END_TEST

START_TEST(defaults_are_as_documented)
{
    struct options o;

    ck_assert_int_eq(parse(&o, ""), -1);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(o.port, 11211);
    ck_assert_int_eq(o.udp_port, 0);
    ck_assert_int_eq(o.udp_amplification, 3);
    ck_assert_ptr_null(o.listen);
    ck_assert_uint_eq(o.memory_max, 64 << 20);
    ck_assert_uint_eq(o.item_size_max, 1 << 20);
    ck_assert_int_eq(o.connections_max, 1024);
    ck_assert_int_eq(o.threads, 4);
    ck_assert_int_eq(o.requests_per_event, 20);
    ck_assert_int_eq(o.backlog, 1024);
    ck_assert_uint_eq(o.unix_mask, 0700);
    ck_assert_int_eq(o.partial_timeout, 30);
    ck_assert_uint_eq(o.slab_chunk_max, 512 << 10);
    ck_assert(o.evict && o.cas && o.flush_allowed && o.dump_allowed && o.watch_allowed);
    ck_assert(o.maxconns_fast && o.hash_expand && o.slab_reassign && o.lru_crawler);
    ck_assert(!o.shutdown_command && !o.daemonize && !o.large_pages && !o.temp_lru);
    options_fini(&o);
}
END_TEST

START_TEST(the_udp_port_is_that_of_tcp_too_unless_that_was_given)
{
    static const struct {
        const char *line;
        int tcp, udp;
    } rows[] = { { "", 11211, 0 }, { "-U 0", 11211, 0 }, { "-U 500", 500, 500 },
        { "-U -1", -1, -1 }, { "-U 500 -p 600", 600, 500 }, { "-p 0 -U 500", 0, 500 } };
    struct options o;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_int_eq(parse(&o, rows[i].line), -1);
        ck_assert_int_eq(o.port, rows[i].tcp);
        ck_assert_int_eq(o.udp_port, rows[i].udp);
        options_fini(&o);
    }
}
END_TEST

START_TEST(values_land_where_they_belong)
{
    struct options o;

    ck_assert_int_eq(parse(&o, "-p 11311 -m 128m -I 2M -c 7 -t 3 -vvv -u me -s /s -a 770"),
        -1);
    ck_assert_int_eq(o.port, 11311);
    ck_assert(o.port_given);
    ck_assert_uint_eq(o.memory_max, 128 << 20);
    ck_assert_uint_eq(o.item_size_max, 2 << 20);
    ck_assert_int_eq(o.connections_max, 7);
    ck_assert_int_eq(o.threads, 3);
    ck_assert_int_eq(o.verbose, 3);
    ck_assert_str_eq(o.user, "me");
    ck_assert_str_eq(o.unix_socket, "/s");
    ck_assert_uint_eq(o.unix_mask, 0770);
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-M -C -F -X -W -A -D / -o no_maxconns_fast,idle_timeout=9"),
        -1);
    ck_assert(!o.evict && !o.cas && !o.flush_allowed && !o.dump_allowed);
    ck_assert(!o.watch_allowed && o.shutdown_command && o.detail_enabled);
    ck_assert(!o.maxconns_fast);
    ck_assert_int_eq(o.prefix_delimiter, '/');
    ck_assert_int_eq(o.idle_timeout, 9);
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-o slab_sizes=100-200-4000,watcher_logbuf_size=2"), -1);
    ck_assert_uint_eq(o.nslab_sizes, 3);
    ck_assert_uint_eq(o.slab_sizes[2], 4000);
    ck_assert_uint_eq(o.watcher_logbuf_size, 2048);
    options_fini(&o);
}
END_TEST

START_TEST(the_last_of_a_repeated_option_wins_and_listen_collects)
{
    struct options o;

    ck_assert_int_eq(
        parse(&o, "-p 1 -p 2 -l 127.0.0.11 -l 127.0.0.1 -l ::1 -l 127.0.0.1"), -1);
    ck_assert_int_eq(o.port, 2);
    ck_assert_str_eq(o.listen, "127.0.0.11,127.0.0.1,::1");
    options_fini(&o);
}
END_TEST

START_TEST(listeners_collect_and_share_namespaces)
{
    struct options o;

    ck_assert_int_eq(parse(&o, "--listener a:1,namespace=x --listener unix:/s,deny=write+"
                               "admin,users=a+b --listener b:2,memory=1g,namespace=x "
                               "--listener c:3,namespace=y,memory=4096k"), -1);
    ck_assert_uint_eq(o.nlisteners, 4);
    ck_assert_uint_eq(o.nspaces, 3);
    ck_assert_str_eq(o.spaces[0].name, "default");
    ck_assert_str_eq(o.spaces[1].name, "x");
    ck_assert_uint_eq(o.spaces[1].memory, 1u << 30);
    ck_assert_uint_eq(o.spaces[2].memory, 4u << 20);
    ck_assert_uint_eq(option_spaces_memory(&o), (1u << 30) + (4u << 20));
    ck_assert_str_eq(o.listeners[0].address, "a:1");
    ck_assert_uint_eq(o.listeners[0].space, 1);
    ck_assert_uint_eq(o.listeners[0].denied, 0);
    ck_assert_str_eq(option_listener_path(&o.listeners[1]), "/s");
    ck_assert_uint_eq(o.listeners[1].space, 0);
    ck_assert_uint_eq(o.listeners[1].denied, RIGHT_WRITE | RIGHT_ADMIN);
    ck_assert_str_eq(o.listeners[1].users, "a+b");
    ck_assert_int_eq(o.listeners[1].mode, -1);
    ck_assert_uint_eq(o.listeners[2].space, 1);
    options_fini(&o);
}
END_TEST

START_TEST(there_are_no_more_listeners_and_namespaces_than_their_bounds)
{
    struct options o;
    char text[64];

    options_init(&o);
    for (unsigned i = 0; i < OPTION_LISTENERS_MAX; i++) {
        snprintf(text, sizeof text, "a:%u,namespace=n%u,memory=2", i + 1, i);
        int status = option_set_listener(&o, option_rows, text);
        ck_assert_int_eq(status, i < OPTION_SPACES_MAX - 1 ? -1 : 1);
    }
    ck_assert_uint_eq(o.nspaces, OPTION_SPACES_MAX);
    for (unsigned i = o.nlisteners; i <= OPTION_LISTENERS_MAX; i++) {
        snprintf(text, sizeof text, "b:%u", i + 1);
        ck_assert_int_eq(option_set_listener(&o, option_rows, text),
            i < OPTION_LISTENERS_MAX ? -1 : 1);
    }
    ck_assert_uint_eq(o.nlisteners, OPTION_LISTENERS_MAX);
    options_fini(&o);
}
END_TEST

/* An option that does nothing must say so, and the defaults must not. */
START_TEST(there_may_be_32_flush_prefixes_and_no_more)
{
    struct options o;
    char line[1024] = "-o ", *to = line + 3;

    for (int i = 0; i < 32; i++)
        to += sprintf(to, "flush_prefix=%d:,", i);
    strcpy(to, "flush_prefix=0:"); /* the first again */
    ck_assert_int_eq(parse(&o, line), -1);
    ck_assert_int_eq(strncmp(o.flush_prefixes, "0:,1:,2:,", 9), 0);
    ck_assert_str_eq(strrchr(o.flush_prefixes, ','), ",31:");
    options_fini(&o);
    strcpy(to, "flush_prefix=32:");
    ck_assert_int_eq(parse(&o, line), 1);
    ck_assert_ptr_nonnull(strstr(said, "-o flush_prefix: at most 32 of them\n"));
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-o flush_prefix=a:,eviction=lru -o flush_prefix==b"), -1);
    ck_assert_str_eq(o.flush_prefixes, "a:,=b");
    options_fini(&o);
}
END_TEST

START_TEST(words_without_effect_are_named_once)
{
    struct options o;

    ck_assert_int_eq(
        parse(&o, "-o hot_lru_pct=30,modern,slab_automove -o hot_lru_pct=31"), -1);
    ck_assert_str_eq(
        said, "-o hot_lru_pct,slab_automove: accepted; no effect in this server\n");
    ck_assert_int_eq(o.hot_lru_pct, 31);
    options_fini(&o);
}
END_TEST

START_TEST(no_modern_keeps_a_chunk_size_that_was_set)
{
    struct options o;

    ck_assert_int_eq(parse(&o, "-o slab_chunk_max=256,no_modern"), -1);
    ck_assert_uint_eq(o.slab_chunk_max, 256 << 10);
    ck_assert(!o.slab_reassign && !o.maxconns_fast && !o.lru_crawler);
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-o no_modern"), -1);
    ck_assert_uint_eq(o.slab_chunk_max, 1 << 20);
    options_fini(&o);
}
END_TEST

/* Scripts read the first line of -h; libmemcached reads the version as three numbers and
 * copies it into 24 bytes. */
START_TEST(version_and_help_begin_with_name_and_version)
{
    struct options o;

    ck_assert_int_eq(parse(&o, "-V"), 0);
    ck_assert_str_eq(said, PACKAGE_NAME " " OPTIONS_VERSION "\n");
    options_fini(&o);
    ck_assert_uint_le(strlen(OPTIONS_VERSION), 23);
    ck_assert_int_eq(strncmp(OPTIONS_VERSION, "1.6.45-larder", 13), 0);
    ck_assert_int_eq(parse(&o, "-p 21987 -h"), 0);
    ck_assert_int_eq(strncmp(said, PACKAGE_NAME " " OPTIONS_VERSION "\n",
                         strlen(PACKAGE_NAME " " OPTIONS_VERSION "\n")),
        0);
    ck_assert_ptr_nonnull(strstr(said, "(default: 21987)"));
    ck_assert_ptr_nonnull(strstr(said, "-c, --conn-limit"));
    ck_assert_ptr_nonnull(strstr(said, "idle_timeout"));
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-i"), 0);
    ck_assert_ptr_nonnull(strstr(said, "Redistribution"));
    options_fini(&o);
}
END_TEST

START_TEST(an_error_before_help_wins_and_one_after_does_not)
{
    struct options o;

    ck_assert_int_eq(parse(&o, "-c 0 -h"), 1);
    options_fini(&o);
    ck_assert_int_eq(parse(&o, "-h -c 0"), 0);
    options_fini(&o);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_loop_test(tc, a_bad_value_is_refused_with_memcacheds_status, 0,
        sizeof REFUSALS / sizeof *REFUSALS);
    tcase_add_loop_test(
        tc, what_memcached_takes_is_taken, 0, sizeof GOOD / sizeof *GOOD);
    tcase_add_test(tc, defaults_are_as_documented);
    tcase_add_test(tc, the_udp_port_is_that_of_tcp_too_unless_that_was_given);
    tcase_add_test(tc, values_land_where_they_belong);
    tcase_add_test(tc, the_last_of_a_repeated_option_wins_and_listen_collects);
    tcase_add_test(tc, there_may_be_32_flush_prefixes_and_no_more);
    tcase_add_test(tc, listeners_collect_and_share_namespaces);
    tcase_add_test(tc, there_are_no_more_listeners_and_namespaces_than_their_bounds);
    tcase_add_test(tc, words_without_effect_are_named_once);
    tcase_add_test(tc, no_modern_keeps_a_chunk_size_that_was_set);
    tcase_add_test(tc, version_and_help_begin_with_name_and_version);
    tcase_add_test(tc, an_error_before_help_wins_and_one_after_does_not);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
