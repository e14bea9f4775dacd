/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_stats.c - protects the reports of `stats`: names, order and presence, which
 * exporters rely on; that a reset takes back what counts and nothing else; and that no
 * report, however long, needs memory for its text.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* The names of the last reply's STAT lines, with a blank behind each. */
static char *
names_of(const struct fixture *fixture)
{
    char *names = calloc(1, fixture->reply_len + 1);

    ck_assert_ptr_nonnull(names);
    for (const char *line = fixture->reply; *line != '\0';) {
        size_t len = strcspn(line, "\r");
        if (strncmp(line, "STAT ", 5) == 0)
            strncat(names, line + 5, strcspn(line + 5, " \r") + 1);
        line += len + (line[len] == '\0' ? 0 : 2);
    }
    return names;
}

static const char GENERAL[] =
    "pid uptime time version libevent pointer_size rusage_user rusage_system "
    "max_connections curr_connections total_connections rejected_connections "
    "connection_structures response_obj_oom response_obj_count response_obj_bytes "
    "read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get "
    "cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed "
    "delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses "
    "cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory "
    "auth_cmds auth_errors bytes_read bytes_written limit_maxbytes accepting_conns "
    "listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level "
    "hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues "
    "slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes "
    "slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running "
    "slabs_moved lru_crawler_running lru_crawler_starts lru_maintainer_juggles "
    "malloc_fails log_worker_dropped log_worker_written log_watcher_skipped "
    "log_watcher_sent log_watchers unexpected_napi_ids round_robin_fallback bytes "
    "curr_items total_items slab_global_page_pool expired_unfetched evicted_unfetched "
    "evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked "
    "lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims "
    "lru_bumps_dropped ";

START_TEST(general_statistics_have_memcacheds_names_in_its_order)
{
    struct fixture fixture;
    char *names;

    fixture_init(&fixture);
    fixture.options.partial_timeout = 30;
    fixture_start(&fixture);
    fixture_ask(&fixture, "stats");
    names = names_of(&fixture);
    ck_assert_int_eq(strncmp(names, GENERAL, sizeof GENERAL - 1), 0);
    ck_assert_str_eq(names + sizeof GENERAL - 1,
        "partial_kicks ghost_hits ghost_bytes huge_page_bytes "
        "probation_bytes memory_bound counter_bytes counter_limit takeovers upload_bytes "
        "pinned_bytes ");
    ck_assert_str_eq(fixture.reply + fixture.reply_len - 5, "END\r\n");
    free(names);
    fixture_close(&fixture);
}
END_TEST

/* memcached leaves out what is off. */
START_TEST(fields_of_what_is_off_are_absent)
{
    static const char *const ABSENT[] = { "rejected_connections", "slab_reassign_rescues",
        "slabs_moved", "lru_crawler_running", "lru_crawler_starts",
        "lru_maintainer_juggles", "evicted_active", "moves_to_cold", "direct_reclaims",
        "lru_bumps_dropped", "partial_kicks", "cmd_flush_prefix" };
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.maxconns_fast = false;
    fixture.options.slab_reassign = false;
    fixture.options.lru_crawler = false;
    fixture.options.lru_maintainer = false;
    fixture.options.idle_timeout = 60;
    fixture.options.partial_timeout = 0;
    fixture_start(&fixture);
    fixture_ask(&fixture, "stats");
    for (size_t i = 0; i < sizeof ABSENT / sizeof ABSENT[0]; i++)
        ck_assert_msg(fixture_stat(&fixture, ABSENT[i]) == NULL, "%s", ABSENT[i]);
    ck_assert_str_eq(fixture_stat(&fixture, "idle_kicks"), "0");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_fresh_server_is_two_seconds_old)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_ask(&fixture, "stats");
    ck_assert_int_le(atoi(fixture_stat(&fixture, "uptime")), 3);
    ck_assert_int_ge(atoi(fixture_stat(&fixture, "uptime")), 2);
    fixture_wait(&fixture, 100);
    fixture_ask(&fixture, "stats");
    ck_assert_int_ge(atoi(fixture_stat(&fixture, "uptime")), 102);
    ck_assert_int_le(
        llabs(atoll(fixture_stat(&fixture, "time")) - (long long)time(NULL)), 1);
    fixture_close(&fixture);
}
END_TEST

/* Telegraf fails on a line without exactly three words; the Prometheus exporter on a
 * rusage without exactly one point. */
START_TEST(every_line_parses_as_exporters_do_it)
{
    static const char *const REPORTS[] = { "stats", "stats settings", "stats items",
        "stats slabs" };
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_set(&fixture, "key", 0, 0, 10);
    for (size_t i = 0; i < sizeof REPORTS / sizeof REPORTS[0]; i++) {
        const char *line = fixture_ask(&fixture, REPORTS[i]);
        while (strncmp(line, "END\r\n", 5) != 0) {
            size_t name = strcspn(line + 5, " ");
            size_t value = strcspn(line + 6 + name, " \r");
            ck_assert_int_eq(strncmp(line, "STAT ", 5), 0);
            ck_assert_uint_gt(name, 0);
            ck_assert_uint_gt(value, 0);
            line += 6 + name + value;
            ck_assert_int_eq(strncmp(line, "\r\n", 2), 0);
            line += 2;
        }
        ck_assert_str_eq(line, "END\r\n");
    }
    fixture_ask(&fixture, "stats");
    for (unsigned i = 0; i < 2; i++) {
        const char *time =
            fixture_stat(&fixture, i == 0 ? "rusage_user" : "rusage_system");
        size_t seconds = strspn(time, "0123456789");
        ck_assert_uint_gt(seconds, 0);
        ck_assert_int_eq(time[seconds], '.');
        ck_assert_uint_eq(strspn(time + seconds + 1, "0123456789"), 6);
        ck_assert_uint_eq(strlen(time + seconds + 1), 6);
    }
    ck_assert_str_eq(fixture_stat(&fixture, "version"), "1.6.45-larder9.8.7");
    fixture_close(&fixture);
}
END_TEST

static const char *const COUNTED[] = { "cmd_get", "cmd_set", "cmd_flush", "cmd_touch",
    "cmd_meta", "get_hits", "get_misses", "get_expired", "get_flushed", "delete_misses",
    "delete_hits", "incr_misses", "incr_hits", "decr_misses", "decr_hits", "cas_misses",
    "cas_hits", "cas_badval", "touch_hits", "touch_misses", "store_too_large",
    "store_no_memory", "auth_cmds", "auth_errors", "idle_kicks", "partial_kicks",
    "bytes_read", "bytes_written", "conn_yields", "response_obj_oom", "read_buf_oom" };

/* Counter number i of counters.def counts i + `more`. */
static void
count_everything(struct counts *counts, uint64_t more)
{
    uint64_t n = more;

#define COUNTER(name) counts->name = n++;
#include "base/counters.def"
#undef COUNTER
    for (unsigned id = 0; id < COUNTER_CLASSES; id++) {
#define COUNTER(name) counts->classes[id].name = n++;
#include "base/class_counters.def"
#undef COUNTER
    }
}

static void
check_counted(struct fixture *fixture, uint64_t first, uint64_t step)
{
    fixture_ask(fixture, "stats");
    for (size_t i = 0; i < sizeof COUNTED / sizeof COUNTED[0]; i++) {
        const char *shown = fixture_stat(fixture, COUNTED[i]);
        ck_assert_msg(shown != NULL, "%s", COUNTED[i]);
        ck_assert_msg(
            strtoull(shown, NULL, 10) == first + i * step, "%s: %s", COUNTED[i], shown);
    }
}

START_TEST(counters_show_what_was_counted_since_the_reset)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.idle_timeout = 1;
    fixture.options.partial_timeout = 1;
    fixture_start(&fixture);
    count_everything(&fixture.counts, 1000);
    check_counted(&fixture, 1000, 1);
    ck_assert_str_eq(fixture_ask(&fixture, "stats reset"), "RESET\r\n");
    check_counted(&fixture, 0, 0);
    count_everything(&fixture.counts, 1007);
    check_counted(&fixture, 7, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(connection_counts_are_reset_and_gauges_are_not)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture.conns = (struct conn_figures){ .current = 3,
        .total = 90,
        .rejected = 7,
        .structures = 5,
        .reserved_fds = 20,
        .listen_disabled = 2,
        .listen_disabled_us = 1500,
        .read_buf_count = 4,
        .read_buf_bytes = 65536,
        .read_buf_bytes_free = 4096,
        .reply_count = 1,
        .reply_bytes = 77,
        .memory_bound = 99000000,
        .accepting = true };
    for (unsigned round = 0; round < 2; round++) {
        fixture_ask(&fixture, "stats");
        ck_assert_str_eq(fixture_stat(&fixture, "curr_connections"), "3");
        ck_assert_str_eq(
            fixture_stat(&fixture, "total_connections"), round == 0 ? "90" : "0");
        ck_assert_str_eq(
            fixture_stat(&fixture, "rejected_connections"), round == 0 ? "7" : "0");
        ck_assert_str_eq(fixture_stat(&fixture, "connection_structures"), "5");
        ck_assert_str_eq(fixture_stat(&fixture, "reserved_fds"), "20");
        ck_assert_str_eq(
            fixture_stat(&fixture, "listen_disabled_num"), round == 0 ? "2" : "0");
        ck_assert_str_eq(fixture_stat(&fixture, "time_in_listen_disabled_us"),
            round == 0 ? "1500" : "0");
        ck_assert_str_eq(fixture_stat(&fixture, "read_buf_count"), "4");
        ck_assert_str_eq(fixture_stat(&fixture, "read_buf_bytes"), "65536");
        ck_assert_str_eq(fixture_stat(&fixture, "read_buf_bytes_free"), "4096");
        ck_assert_str_eq(fixture_stat(&fixture, "response_obj_count"), "1");
        ck_assert_str_eq(fixture_stat(&fixture, "response_obj_bytes"), "77");
        ck_assert_str_eq(fixture_stat(&fixture, "memory_bound"), "99000000");
        ck_assert_str_eq(fixture_stat(&fixture, "accepting_conns"), "1");
        fixture_ask(&fixture, "stats reset");
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_reset_takes_back_totals_of_the_store_but_not_its_items)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_set(&fixture, "a", 0, 0, 10);
    fixture_set(&fixture, "a", 0, 0, 10);
    fixture_set(&fixture, "b", 0, 0, 10);
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "curr_items"), "2");
    ck_assert_str_eq(fixture_stat(&fixture, "total_items"), "3");
    ck_assert_str_ne(fixture_stat(&fixture, "bytes"), "0");
    fixture_ask(&fixture, "stats reset");
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "curr_items"), "2");
    ck_assert_str_eq(fixture_stat(&fixture, "total_items"), "0");
    ck_assert_str_ne(fixture_stat(&fixture, "bytes"), "0");
    ck_assert_str_eq(fixture_stat(&fixture, "limit_maxbytes"), "67108864");
    fixture_set(&fixture, "c", 0, 0, 10);
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "total_items"), "1");
    fixture_close(&fixture);
}
END_TEST

/* Evictions are counted in the whole and in the class, and reset in both. */
START_TEST(evictions_of_a_full_cache_are_counted_and_reset)
{
    struct fixture fixture;
    char key[32], name[64], again[64];
    unsigned id;

    fixture_init(&fixture);
    fixture.options.memory_max = 8u << 20;
    fixture_start(&fixture);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "key:%05u", i);
        fixture_set(&fixture, key, 0, 3600, 1000);
    }
    id = store_class_of(fixture.store, 9, 0, 1000);
    fixture_ask(&fixture, "stats");
    snprintf(again, sizeof again, "%s", fixture_stat(&fixture, "evictions"));
    ck_assert_str_ne(again, "0");
    fixture_ask(&fixture, "stats items");
    snprintf(name, sizeof name, "items:%u:evicted", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), again);
    snprintf(name, sizeof name, "items:%u:evicted_nonzero", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), again);
    fixture_ask(&fixture, "stats reset");
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "evictions"), "0");
    fixture_ask(&fixture, "stats items");
    ck_assert_str_eq(fixture_stat(&fixture, name), "0");
    fixture_close(&fixture);
}
END_TEST

#ifdef HAVE_TLS
#define TLS_SETTINGS                                                                     \
    "ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers "      \
    "ssl_ca_cert ssl_wbuf_size ssl_session_cache ssl_kernel_tls ssl_min_version "
#else
#define TLS_SETTINGS ""
#endif

static const char SETTINGS[] =
    "maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket "
    "umask shutdown_command growth_factor chunk_size num_threads num_threads_per_udp "
    "stat_key_prefix detail_enabled reqs_per_event cas_enabled tcp_backlog "
    "binding_protocol auth_enabled_sasl auth_enabled_ascii item_size_max maxconns_fast "
    "hashpower_init slab_reassign slab_automove slab_automove_ratio slab_automove_window "
    "slab_chunk_max lru_crawler lru_crawler_sleep lru_crawler_tocrawl tail_repair_time "
    "flush_enabled dump_enabled hash_algorithm lru_maintainer_thread lru_segmented "
    "hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru temporary_ttl "
    "idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes "
    "inline_ascii_response drop_privileges " TLS_SETTINGS "num_napi_ids memory_file "
    "client_flags_size partial_timeout latency_sample hotkeys_sample sandbox "
    "sandbox_layers udp_amplification eviction object_bias counter_reserve memory_total "
    "handover huge_pages ";

START_TEST(settings_have_memcacheds_names_in_its_order)
{
    struct fixture fixture;
    char *names;

    fixture_open(&fixture);
    fixture_ask(&fixture, "stats settings now");
    names = names_of(&fixture);
    ck_assert_str_eq(names, SETTINGS);
    free(names);
    fixture_close(&fixture);
}
END_TEST

START_TEST(settings_show_the_options_in_memcacheds_form)
{
    static const char *const EXPECTED[][2] = { { "maxbytes", "67108864" },
        { "maxconns", "1024" }, { "udpport", "0" }, { "verbosity", "0" },
        { "oldest", "0" }, { "evictions", "off" }, { "domain_socket", "NULL" },
        { "umask", "640" }, { "shutdown_command", "no" }, { "growth_factor", "1.25" },
        { "chunk_size", "48" }, { "num_threads_per_udp", "1" },
        { "stat_key_prefix", "/" }, { "cas_enabled", "yes" },
        { "inter", "127.0.0.1,::1" }, { "binding_protocol", "ascii" },
        { "auth_enabled_sasl", "no" }, { "auth_enabled_ascii", "no" },
        { "item_size_max", "1048576" }, { "slab_automove_ratio", "0.80" },
        { "lru_crawler", "yes" }, { "memory_file", "(null)" },
        { "inline_ascii_response", "no" }, { "client_flags_size", "4" } };
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.evict = false;
    fixture.options.growth_factor = 1.25;
    fixture.options.chunk_min = 48;
    fixture.options.unix_mask = 0640;
    fixture.options.prefix_delimiter = '/';
    fixture.options.protocol = PROTOCOL_ASCII;
    free(fixture.options.listen);
    fixture.options.listen = strdup("127.0.0.1,::1");
    fixture_start(&fixture);
    fixture_ask(&fixture, "stats settings");
    for (size_t i = 0; i < sizeof EXPECTED / sizeof EXPECTED[0]; i++) {
        const char *shown = fixture_stat(&fixture, EXPECTED[i][0]);
        ck_assert_msg(shown != NULL && strcmp(shown, EXPECTED[i][1]) == 0, "%s: %s",
            EXPECTED[i][0], shown);
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(settings_show_prefixes_and_how_often_they_were_flushed)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.flush_prefixes = strdup("a:,b:");
    fixture_start(&fixture);
    fixture_ask(&fixture, "stats settings");
    ck_assert_str_eq(fixture_stat(&fixture, "flush_prefix"), "a:,b:");
    ck_assert_str_eq(fixture_stat(&fixture, "flush_prefix_flushes"), "0,0");
    ck_assert_int_eq(store_flush_prefix(fixture.store, SLICE("b:")), STORE_OK);
    ck_assert_int_eq(store_flush_prefix(fixture.store, SLICE("a:,b:")), STORE_MISS);
    fixture_ask(&fixture, "stats settings");
    ck_assert_str_eq(fixture_stat(&fixture, "flush_prefix_flushes"), "0,1");
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "cmd_flush_prefix"), "0");
    fixture_close(&fixture);
}
END_TEST

/* A value without a bound must not break the rule that a step fits an outbox. */
START_TEST(an_endless_setting_is_cut)
{
    struct fixture fixture;
    size_t len = 200000;

    fixture_init(&fixture);
    free(fixture.options.listen);
    fixture.options.listen = malloc(len + 1);
    memset(fixture.options.listen, 'x', len);
    fixture.options.listen[len] = '\0';
    fixture_start(&fixture);
    fixture_ask(&fixture, "stats settings");
    ck_assert_uint_eq(strlen(fixture_stat(&fixture, "inter")), 4096);
    fixture_close(&fixture);
}
END_TEST

START_TEST(items_and_slabs_show_classes_in_use)
{
    static const char ITEMS[] =
        "number number_hot number_warm number_cold age_hot age_warm age mem_requested "
        "evicted evicted_nonzero evicted_time outofmemory tailrepairs reclaimed "
        "expired_unfetched evicted_unfetched evicted_active crawler_reclaimed "
        "crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm "
        "moves_within_lru direct_reclaims hits_to_hot hits_to_warm hits_to_cold "
        "hits_to_temp evicted_time_mean ghost_hits page_demand probation counters ";
    static const char SLABS[] =
        "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks "
        "free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits "
        "cas_badval touch_hits ";
    struct fixture fixture;
    char expected[2048] = "", name[64];
    char *names;
    unsigned id;

    fixture_open(&fixture);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "k%u", i);
        fixture_set(&fixture, name, 0, 0, 20);
    }
    id = store_class_of(fixture.store, 2, 0, 20);
    fixture.counts.classes[id].get_hits = 11;
    fixture.counts.classes[id].touch_hits = 12;

    fixture_ask(&fixture, "stats items");
    for (const char *at = ITEMS; *at != '\0'; at += strcspn(at, " ") + 1)
        sprintf(
            expected + strlen(expected), "items:%u:%.*s ", id, (int)strcspn(at, " "), at);
    names = names_of(&fixture);
    ck_assert_str_eq(names, expected);
    free(names);
    snprintf(name, sizeof name, "items:%u:number", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "3");
    snprintf(name, sizeof name, "items:%u:number_cold", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "3");
    snprintf(name, sizeof name, "items:%u:hits_to_cold", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "11");

    fixture_ask(&fixture, "stats slabs");
    expected[0] = '\0';
    for (const char *at = SLABS; *at != '\0'; at += strcspn(at, " ") + 1)
        sprintf(expected + strlen(expected), "%u:%.*s ", id, (int)strcspn(at, " "), at);
    strcat(expected, "active_slabs total_malloced ");
    names = names_of(&fixture);
    ck_assert_str_eq(names, expected);
    free(names);
    snprintf(name, sizeof name, "%u:used_chunks", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "3");
    snprintf(name, sizeof name, "%u:touch_hits", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "12");
    ck_assert_str_eq(fixture_stat(&fixture, "active_slabs"), "1");

    fixture_ask(&fixture, "stats reset");
    fixture_ask(&fixture, "stats slabs");
    ck_assert_str_eq(fixture_stat(&fixture, name), "0");
    snprintf(name, sizeof name, "%u:used_chunks", id);
    ck_assert_str_eq(fixture_stat(&fixture, name), "3");
    fixture_close(&fixture);
}
END_TEST

START_TEST(plain_lru_and_temporary_items_change_the_fields_of_a_class)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_set(&fixture, "k", 0, 0, 1);
    fixture_ask(&fixture, "lru temp_ttl 30");
    ck_assert_ptr_nonnull(strstr(fixture_ask(&fixture, "stats items"), ":number_temp 0"));
    fixture_close(&fixture);

    fixture_init(&fixture);
    fixture.options.lru_maintainer = false;
    fixture_start(&fixture);
    fixture_set(&fixture, "k", 0, 0, 1);
    fixture_ask(&fixture, "stats items");
    ck_assert_ptr_nonnull(strstr(fixture.reply, ":number 1\r\n"));
    ck_assert_ptr_null(strstr(fixture.reply, ":number_cold"));
    ck_assert_ptr_null(strstr(fixture.reply, ":hits_to_cold"));
    ck_assert_ptr_nonnull(strstr(fixture.reply, ":age 0\r\n"));
    fixture_close(&fixture);
}
END_TEST

START_TEST(connections_come_by_ascending_descriptor)
{
    static const struct conn_info INFOS[] = {
        { 22, "tcp:127.0.0.1:11211", NULL, "conn_listening", 13 },
        { 31, "tcp6:[::1]:50140", "tcp6:[::1]:11211", "conn_read", 4 },
        { 24, "tcp:127.0.0.1:49900", "tcp:127.0.0.1:11211", "conn_parse_cmd", 0 },
    };
    struct fixture fixture;

    fixture_open(&fixture);
    fixture.infos = INFOS;
    fixture.ninfos = 3;
    ck_assert_str_eq(fixture_ask(&fixture, "stats conns"),
        "STAT 22:addr tcp:127.0.0.1:11211\r\n"
        "STAT 22:state conn_listening\r\n"
        "STAT 22:secs_since_last_cmd 13\r\n"
        "STAT 24:addr tcp:127.0.0.1:49900\r\n"
        "STAT 24:listen_addr tcp:127.0.0.1:11211\r\n"
        "STAT 24:state conn_parse_cmd\r\n"
        "STAT 24:secs_since_last_cmd 0\r\n"
        "STAT 31:addr tcp6:[::1]:50140\r\n"
        "STAT 31:listen_addr tcp6:[::1]:11211\r\n"
        "STAT 31:state conn_read\r\n"
        "STAT 31:secs_since_last_cmd 4\r\n"
        "END\r\n");
    fixture_close(&fixture);
}
END_TEST

/* Each once and in order, whatever the order in which they are kept. */
START_TEST(ten_thousand_connections_are_listed_piece_by_piece)
{
    struct fixture fixture;
    unsigned n = 10000, seen = 0;
    struct conn_info *infos = calloc(n, sizeof *infos);
    int last = -1;

    for (unsigned i = 0; i < n; i++)
        infos[i] = (struct conn_info){ (int)(i * 7919 % n) + 5, "tcp:127.0.0.1:49900",
            "tcp:127.0.0.1:11211", "conn_read", i };
    fixture_open(&fixture);
    fixture.infos = infos;
    fixture.ninfos = n;
    fixture_ask(&fixture, "stats conns");
    for (const char *at = fixture.reply; (at = strstr(at, ":addr ")) != NULL; at++) {
        const char *start = at;
        while (start[-1] != ' ')
            start--;
        ck_assert_int_gt(atoi(start), last);
        last = atoi(start);
        seen++;
    }
    ck_assert_uint_eq(seen, n);
    ck_assert_uint_gt(fixture.fills, 10);
    fixture_close(&fixture);
    free(infos);
}
END_TEST

/* Items of some thirty classes. */
static void
fill_classes(struct fixture *fixture)
{
    char key[32];

    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%u", i);
        fixture_set(fixture, key, 0, 0, 50 + 250 * i);
    }
}

/* The same report, whether or not it fits at once. */
START_TEST(a_report_is_the_same_in_any_room)
{
    struct fixture fixture;
    char *whole;

    fixture_open(&fixture);
    fill_classes(&fixture);
    whole = strdup(fixture_ask(&fixture, "stats items"));
    ck_assert_uint_gt(strlen(whole), ADMIN_ROOM);
    ck_assert_str_eq(fixture_ask_late(&fixture, "stats items", ADMIN_ROOM), whole);
    ck_assert_uint_gt(fixture.fills, 0);
    ck_assert_str_eq(fixture_ask_late(&fixture, "stats items", ADMIN_ROOM + 777), whole);
    free(whole);
    fixture_close(&fixture);
}
END_TEST

/* A client that goes away, or that says noreply, which no report knows. */
START_TEST(an_abandoned_report_leaves_nothing_behind)
{
    struct fixture fixture;
    struct admin_request request = { .verb = ADMIN_STATS, .noreply = true };
    struct admin_answer answer;
    struct stream *stream;

    fixture_init(&fixture);
    fixture.options.track_sizes = true;
    fixture_start(&fixture);
    fill_classes(&fixture);
    for (unsigned i = 0; i < 100; i++) {
        stream = fixture_stream(&fixture, "stats items");
        ck_assert_ptr_nonnull(stream);
        stream->close(stream);
    }
    fixture.out.used = OUTBOX_BYTES - ADMIN_ROOM;
    request.args = SLICE("sizes");
    request.thread = fixture.thread;
    fixture.hook.run(fixture.hook.context, &request, &fixture.out, &answer);
    ck_assert_ptr_null(answer.stream);
    fixture_close(&fixture);
}
END_TEST

START_TEST(sizes_are_counted_in_buckets_of_32_bytes)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.track_sizes = true;
    fixture_start(&fixture);
    ck_assert_str_eq(fixture_ask(&fixture, "stats sizes"), "END\r\n");
    /* 48 + 8 + key + 1 + value + 2 */
    fixture_set(&fixture, "k1", 0, 0, 3);  /* 64 */
    fixture_set(&fixture, "k2", 0, 0, 4);  /* 65 */
    fixture_set(&fixture, "k3", 0, 0, 35); /* 96 */
    fixture_set(&fixture, "k4", 7, 0, 32); /* 97 */
    fixture_set(&fixture, "k5", 0, 0, 5000);
    ck_assert_str_eq(fixture_ask(&fixture, "stats sizes"),
        "STAT 64 1\r\nSTAT 96 2\r\nSTAT 128 1\r\nSTAT 5088 1\r\nEND\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(histograms_at_once_are_bounded)
{
    struct fixture fixture;
    struct stream *streams[8];
    char key[32];

    fixture_init(&fixture);
    fixture.options.track_sizes = true;
    fixture_start(&fixture);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        fixture_set(&fixture, key, 0, 0, 100);
    }
    for (unsigned i = 0; i < 8; i++) {
        streams[i] = fixture_stream(&fixture, "stats sizes");
        ck_assert_ptr_nonnull(streams[i]);
    }
    ck_assert_str_eq(fixture_ask(&fixture, "stats sizes"),
        "SERVER_ERROR out of memory writing stats\r\n");
    streams[0]->close(streams[0]);
    ck_assert_str_ne(fixture_ask(&fixture, "stats sizes"),
        "SERVER_ERROR out of memory writing stats\r\n");
    for (unsigned i = 1; i < 8; i++)
        streams[i]->close(streams[i]);
    fixture_close(&fixture);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("stats");
    TCase *tcase = tcase_create("stats");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, general_statistics_have_memcacheds_names_in_its_order);
    tcase_add_test(tcase, fields_of_what_is_off_are_absent);
    tcase_add_test(tcase, a_fresh_server_is_two_seconds_old);
    tcase_add_test(tcase, every_line_parses_as_exporters_do_it);
    tcase_add_test(tcase, counters_show_what_was_counted_since_the_reset);
    tcase_add_test(tcase, connection_counts_are_reset_and_gauges_are_not);
    tcase_add_test(tcase, a_reset_takes_back_totals_of_the_store_but_not_its_items);
    tcase_add_test(tcase, evictions_of_a_full_cache_are_counted_and_reset);
    tcase_add_test(tcase, settings_have_memcacheds_names_in_its_order);
    tcase_add_test(tcase, settings_show_the_options_in_memcacheds_form);
    tcase_add_test(tcase, settings_show_prefixes_and_how_often_they_were_flushed);
    tcase_add_test(tcase, an_endless_setting_is_cut);
    tcase_add_test(tcase, items_and_slabs_show_classes_in_use);
    tcase_add_test(tcase, plain_lru_and_temporary_items_change_the_fields_of_a_class);
    tcase_add_test(tcase, connections_come_by_ascending_descriptor);
    tcase_add_test(tcase, ten_thousand_connections_are_listed_piece_by_piece);
    tcase_add_test(tcase, a_report_is_the_same_in_any_room);
    tcase_add_test(tcase, an_abandoned_report_leaves_nothing_behind);
    tcase_add_test(tcase, sizes_are_counted_in_buckets_of_32_bytes);
    tcase_add_test(tcase, histograms_at_once_are_bounded);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
