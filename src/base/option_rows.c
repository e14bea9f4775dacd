/* SPDX-License-Identifier: BSD-3-Clause */
/* option_rows.c - the options themselves: one row each. */
#include "base/option_rows.h"

#include <limits.h>

/* Replies for TLS are put together in at most so much. */
#define SSL_WBUF_KIB_MAX 16384

#define GROUP(text)                                                                       \
    {                                                                                     \
        .kind = OPTION_GROUP, .help = (text)                                              \
    }
#define ACT(c, long_name, text)                                                           \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_ACT, .help = (text)            \
    }
#define FLAG(c, long_name, field, to, text)                                               \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_FLAG,                          \
        .offset = offsetof(struct options, field), .value = (to), .help = (text)          \
    }
#define INT(c, long_name, field, least, most, no, what, text)                             \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_INT,                           \
        .offset = offsetof(struct options, field), .min = (least), .max = (most),         \
        .refusal = (no), .argument = (what), .help = (text)                               \
    }
#define U32(long_name, field, times, most, text)                                          \
    {                                                                                     \
        .name = (long_name), .kind = OPTION_U32,                                          \
        .offset = offsetof(struct options, field), .unit = (times), .max = (most),        \
        .argument = "num", .help = (text)                                                 \
    }
#define REAL(c, long_name, field, over, up_to, no, text)                                  \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_REAL,                          \
        .offset = offsetof(struct options, field), .low = (over), .high = (up_to),        \
        .refusal = (no), .argument = "ratio", .help = (text)                              \
    }
#define TEXT(c, long_name, field, what, text)                                             \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_TEXT,                          \
        .offset = offsetof(struct options, field), .argument = (what), .help = (text)     \
    }
#define OTHER(c, long_name, fn, what, text)                                               \
    {                                                                                     \
        .name = (long_name), .letter = (c), .kind = OPTION_OTHER, .set = (fn),            \
        .argument = (what), .help = (text)                                                \
    }
#ifdef HAVE_SASL
#define SASL_MISSING ""
#else
#define SASL_MISSING " (not built into this program)"
#endif
#ifdef HAVE_TLS
#define TLS_MISSING ""
#else
#define TLS_MISSING " (not built into this program)"
#endif
/* The same, for what this design has no use for. */
#define IDLE .idle = true,

const struct option_row option_rows[] = {
    GROUP("Listening"),
    OTHER('p', "port", option_set_port, "num",
        "TCP port; 0: none, -1: any free one"),
    OTHER('U', "udp-port", option_set_port, "num",
        "UDP port; 0: none, -1: any free one; without -p that of TCP, too"),
    OTHER('l', "listen", option_set_listen, "addr[:port],...",
        "addresses to listen on, may be repeated; * is all of them; before an address: "
        "notls: (plain bytes despite -Z), btls: (no client certificates), mtls: (only "
        "with one), proto[word]: (as -B)"),
    TEXT('s', "unix-socket", unix_socket, "path",
        "listen on this unix socket only, on no port"),
    OTHER('a', "unix-mask", option_set_mask, "octal",
        "permissions of the unix socket"),
    OTHER(259, "listener", option_set_listener, "addr[,key=value...]",
        "one more listener, may be repeated; addr as in -l, or unix:/path; keys: "
        "namespace=name (a cache of its own, with memory=MiB given once for it), "
        "deny=admin+flush+write (what is refused there), and of a unix socket mode=octal, "
        "group=name, users=a+b (who may connect)"),
    INT('c', "conn-limit", connections_max, 1, INT_MAX,
        "Maximum connections must be greater than 0", "num",
        "clients served at the same time"),
    INT('b', "listen-backlog", backlog, 0, INT_MAX, NULL, "num",
        "connections the kernel may hold until they are accepted"),
    OTHER('B', "protocol", option_set_protocol, "word",
        "what clients may speak: auto (their first byte tells), ascii or binary"),

    GROUP("Memory"),
    OTHER('m', "memory-limit", option_set_memory, "MiB",
        "memory for items; or a percentage of what the machine or the control group allows "
        "(70%), or auto: 70% of it"),
    OTHER(258, "memory-total", option_set_memory_total, "MiB",
        "memory for the whole process; items get what the rest of it leaves, at most -m; "
        "or a percentage, or auto, as with -m"),
    OTHER('I', "max-item-size", option_set_item_size, "bytes",
        "largest item; k and m are understood"),
    FLAG('M', "disable-evictions", evict, false,
        "when memory is full answer with an error and evict nothing"),
    REAL('f', "slab-growth-factor", growth_factor, 1.0, 1e6,
        "Factor must be greater than 1", "ratio between the sizes of chunks"),
    INT('n', "slab-min-size", chunk_min, 1, INT_MAX,
        "Chunk size must be greater than 0", "bytes",
        "key, value and flags of the smallest chunk"),
    FLAG('L', "enable-largepages", large_pages, true,
        "take all item memory at the start, on large pages"),
    FLAG('k', "lock-memory", lock_memory, true, "lock all memory (mlockall)"),
    TEXT('e', "memory-file", memory_file, "path",
        "keep items in this file, best on tmpfs, over a restart"),

    GROUP("Work"),
    INT('t', "threads", threads, 1, 4096, "Number of threads must be greater than 0",
        "num", "worker threads"),
    INT('R', "max-reqs-per-event", requests_per_event, 1, INT_MAX,
        "Number of requests per event must be greater than 0", "num",
        "commands of one client in a row while others wait; 8 keys count as one"),
    FLAG('C', "disable-cas", cas, false, "give out no CAS uniques"),
    INT('N', "napi-ids", napi_ids, 1, INT_MAX,
        "Maximum number of NAPI IDs must be greater than 0", "num",
        "choose workers by network queue (not built into this program)"),

    GROUP("Rights"),
    FLAG('A', "enable-shutdown", shutdown_command, true, "allow the shutdown command"),
    FLAG('F', "disable-flush-all", flush_allowed, false, "refuse flush_all and flush_prefix"),
    FLAG('X', "disable-dumping", dump_allowed, false,
        "refuse stats cachedump, stats detail, stats hotkeys and lru_crawler metadump"),
    FLAG('W', "disable-watch", watch_allowed, false, "refuse watch"),
    FLAG('S', "enable-sasl", sasl, true,
        "clients log in by SASL; forces -B binary" SASL_MISSING),
    TEXT('Y', "auth-file", auth_file, "path",
        "file of user:password lines; clients log in by a first set; forces -B ascii; "
        "read again on SIGHUP"),
    FLAG('Z', "enable-ssl", tls, true,
        "TLS on all TCP ports but those of notls: in -l; needs -o ssl_chain_cert"
        TLS_MISSING),

    GROUP("Process"),
    TEXT('u', "user", user, "name", "become this user; needed when started as root"),
    FLAG('d', "daemon", daemonize, true, "run in the background"),
    TEXT('P', "pidfile", pid_file, "path", "write the process id there"),
    FLAG('r', "enable-coredumps", coredumps, true, "dump core without a size limit"),
    { .name = "verbose", .letter = 'v', .kind = OPTION_OTHER, .set = option_set_verbose,
        .optional = true, .help = "say more on stderr; repeat it for still more" },
    OTHER('D', NULL, option_set_prefix, "char",
        "what ends the prefix of a key; turns on stats detail"),
    OTHER('o', "extended", option_set_words, "word[=num],...", "see below"),
    OTHER(256, "config", option_set_config, "file",
        "options from a file, one a line; the command line overrides it; read again on "
        "SIGHUP"),
    OTHER(257, "check-config", option_set_check, NULL,
        "check all options, print what they come to, and end"),
    ACT('h', "help", "this text"),
    ACT('i', "license", "the licence"),
    ACT('V', "version", "the version"),
    { .kind = OPTION_ACT },
};

const struct option_row option_words[] = {
    GROUP("Words of -o: connections"),
    FLAG(0, "maxconns_fast", maxconns_fast, true,
        "refuse clients over -c at once, with an error (default)"),
    FLAG(0, "no_maxconns_fast", maxconns_fast, false, "let clients over -c wait"),
    INT(0, "idle_timeout", idle_timeout, 0, INT_MAX, NULL, "num",
        "seconds without a command after which a client is closed; 0: never"),
    INT(0, "partial_timeout", partial_timeout, 0, INT_MAX, NULL, "num",
        "seconds a command may take to arrive, as many again for each 64 KiB of it; "
        "0: any number"),
    INT(0, "udp_amplification", udp_amplification, 0, 65535, NULL, "num",
        "answers to a datagram are at most so many times its length, lest they be aimed at "
        "others; 0: any length"),
    U32("sock_cookie_id", sock_cookie_id, 1, UINT32_MAX, "mark of the listening sockets"),

    GROUP("Words of -o: memory"),
    OTHER(0, "hashpower", option_set_hash_power, "num",
        "log2 of the slots the index starts with, 12 to 32; 0: small"),
    FLAG(0, "no_hashexpand", hash_expand, false, "never grow the index"),
    OTHER(0, "hash_algorithm", option_set_hash, "word",
        "siphash13 (keyed), or xxh3; jenkins and murmur3 stand for siphash13"),
    FLAG(0, "slab_reassign", slab_reassign, true,
        "pages may move to the sizes that need them (default)"),
    FLAG(0, "no_slab_reassign", slab_reassign, false, "pages stay where they are"),
    OTHER(0, "eviction", option_set_eviction, "word",
        "segmented (default: a new key is on probation for a tenth of the cache, then kept "
        "by use), or lru (of 16 items the least recently used goes)"),
    INT(0, "object_bias", object_bias, 0, 100, NULL, "percent",
        "what pages move for: most hits (100), most bytes hit (0), or between"),
    INT(0, "counter_reserve", counter_reserve, 0, 50, NULL, "percent",
        "share of memory in which counters that expire are never evicted before"),
    OTHER(0, "slab_chunk_max", option_set_chunk_max, "KiB",
        "largest chunk; larger items are chains of chunks, of 64 KiB at most"),
    OTHER(0, "slab_sizes", option_set_slab_sizes, "bytes-bytes-...",
        "sizes of the chunks, ascending, in place of -f"),
    { .name = "no_chunked_items", .kind = OPTION_OTHER, .set = option_set_chunk_max,
        .idle = true, .help = "slab_chunk_max of 1 MiB" },
    FLAG(0, "huge_pages", huge_pages, true,
        "gather memory that is full into huge pages, where the system can (default)"),
    FLAG(0, "no_huge_pages", huge_pages, false, "leave it on small pages"),
    FLAG(0, "lru_crawler", lru_crawler, true,
        "reclaim expired items in the background (default)"),
    FLAG(0, "no_lru_crawler", lru_crawler, false, "reclaim them only on access"),
    OTHER(0, "flush_prefix", option_set_flush_prefix, "text",
        "keys that begin so can be made invisible all at once by the command flush_prefix; "
        "may be repeated"),
    FLAG(0, "track_sizes", track_sizes, true, "count item sizes for stats sizes"),

    GROUP("Words of -o: observing"),
    U32("latency_sample", latency_sample, 1, 1000000,
        "measure one turn of a worker in so many, for stats latency; 0: none"),
    U32("hotkeys_sample", hotkeys_sample, 1, 1000000,
        "look for hot keys in one turn in so many, for stats hotkeys; 0: in none"),
    { .name = "watcher_logbuf_size", .kind = OPTION_U32, .unit = 1024,
        .max = UINT32_MAX / 1024, .offset = offsetof(struct options, watcher_logbuf_size),
        .argument = "KiB", .help = "what a client that watches may be behind by" },
    { .name = "worker_logbuf_size", .kind = OPTION_U32, .unit = 1024,
        .max = UINT32_MAX / 1024, .offset = offsetof(struct options, worker_logbuf_size),
        .argument = "KiB",
        .help = "what a worker may have to tell those who watch; more is dropped" },

    GROUP("Words of -o: HTTP"),
    OTHER(0, "http", option_set_http, "[addr:]port",
        "show figures there over HTTP, to be read only and without a password: / for "
        "people, /metrics for Prometheus, /stats.json, /healthz; addr is 127.0.0.1 unless "
        "given; or unix:path, with the permissions of -a"),
    OTHER(0, "http_name", option_set_http_name, "name",
        "a name of this machine under which HTTP is asked for, besides localhost, its "
        "host name and addresses; may be repeated"),

    GROUP("Words of -o: restarting"),
    OTHER(0, "handover", option_set_handover, "word",
        "who gets the cache, the listening sockets and the clients: nobody (off), on SIGTERM "
        "the service manager for the next start (manager), on SIGUSR2 the same program, "
        "started anew (process)"),

    GROUP("Words of -o: confinement"),
    OTHER(0, "sandbox", option_set_sandbox, "word",
        "what serving does not need is refused (on), ends the process (strict), is "
        "allowed and logged by the kernel (log), or is allowed (off)"),
    OTHER(0, "drop_privileges", option_set_sandbox, NULL, "sandbox=on"),
    OTHER(0, "no_drop_privileges", option_set_sandbox, NULL, "sandbox=off"),

#ifdef HAVE_TLS
    GROUP("Words of -o: TLS"),
    TEXT(0, "ssl_chain_cert", ssl_chain_cert, "path",
        "certificate of the server and those between it and the root, in PEM; read again "
        "on SIGHUP and refresh_certs, as are the next two"),
    TEXT(0, "ssl_key", ssl_key, "path", "its private key, if not in the same file"),
    TEXT(0, "ssl_ca_cert", ssl_ca_cert, "path",
        "certificates, in PEM, of those who may sign certificates of clients"),
    INT(0, "ssl_keyformat", ssl_keyformat, INT_MIN, INT_MAX, NULL, "num",
        "of ssl_key: 1 PEM, 2 DER"),
    INT(0, "ssl_verify_mode", ssl_verify_mode, 0, 3,
        NULL, "num",
        "certificates of clients: 0 not asked for, 1 checked if there is one, 2 required, "
        "3 required once"),
    TEXT(0, "ssl_ciphers", ssl_ciphers, "list", "ciphers for TLS 1.2, as OpenSSL writes them"),
    INT(0, "ssl_min_version", ssl_min_version, 0, 3,
        NULL, "num",
        "lowest version: 0 TLS 1.0, 1 TLS 1.1, 2 TLS 1.2, 3 TLS 1.3"),
    FLAG(0, "ssl_session_cache", ssl_session_cache, true,
        "remember sessions for clients of TLS 1.2 that take no tickets"),
    { .name = "ssl_wbuf_size", .kind = OPTION_U32, .unit = 1024, .min = 1,
        .max = SSL_WBUF_KIB_MAX, .offset = offsetof(struct options, ssl_wbuf_size),
        .argument = "KiB",
        .help = "of each worker, where parts of replies are put together before they are "
                "encrypted" },
    FLAG(0, "ssl_kernel_tls", ssl_kernel_tls, true,
        "leave encryption to the kernel where it can do it"),
#endif

    GROUP("Words of -o: accepted and shown, for machinery that Larder does without"),
    { .name = "slab_automove", .kind = OPTION_OTHER, .set = option_set_automove,
        .optional = true, .idle = true, .argument = "num", .help = "0, 1 or 2" },
    { .name = "no_slab_automove", .kind = OPTION_OTHER, .set = option_set_automove,
        .idle = true, .help = "slab_automove=0" },
    { IDLE .name = "slab_automove_ratio", .kind = OPTION_REAL, .low = 0.0, .high = 1.0,
        .offset = offsetof(struct options, slab_automove_ratio),
        .refusal = "slab_automove_ratio must be > 0 and <= 1", .argument = "ratio",
        .help = "over 0, up to 1" },
    { IDLE .name = "slab_automove_window", .kind = OPTION_U32, .min = 3, .max = 1800,
        .offset = offsetof(struct options, slab_automove_window),
        .refusal = "slab_automove_window must be between 3 and 1800", .argument = "num",
        .help = "3 to 1800" },
    { IDLE .name = "slab_automove_freeratio", .kind = OPTION_REAL, .low = 0.0, .high = 1.0,
        .offset = offsetof(struct options, slab_automove_freeratio),
        .refusal = "slab_automove_freeratio must be > 0 and <= 1", .argument = "ratio",
        .help = "over 0, up to 1" },
    { IDLE .name = "tail_repair_time", .kind = OPTION_INT, .min = 10, .max = INT_MAX,
        .offset = offsetof(struct options, tail_repair_time),
        .refusal = "Cannot set tail_repair_time to less than 10 seconds",
        .argument = "num", .help = "10 or more" },
    { IDLE .name = "lru_crawler_sleep", .kind = OPTION_INT, .min = 0, .max = 1000000,
        .offset = offsetof(struct options, lru_crawler_sleep),
        .refusal = "LRU crawler sleep must be between 0 and 1 second", .argument = "num",
        .help = "microseconds, up to 1000000" },
    { IDLE .name = "lru_crawler_tocrawl", .kind = OPTION_U32, .max = UINT32_MAX,
        .offset = offsetof(struct options, lru_crawler_tocrawl), .argument = "num",
        .help = "items in a run" },
    { IDLE .name = "lru_maintainer", .kind = OPTION_FLAG, .value = true,
        .offset = offsetof(struct options, lru_maintainer), .help = "(default)" },
    { IDLE .name = "no_lru_maintainer", .kind = OPTION_FLAG, .value = false,
        .offset = offsetof(struct options, lru_maintainer), .help = "" },
    { IDLE .name = "hot_lru_pct", .kind = OPTION_INT, .min = 1, .max = 79,
        .offset = offsetof(struct options, hot_lru_pct),
        .refusal = "hot_lru_pct must be > 1 and < 80", .argument = "num",
        .help = "1 to 79" },
    { IDLE .name = "warm_lru_pct", .kind = OPTION_INT, .min = 1, .max = 79,
        .offset = offsetof(struct options, warm_lru_pct),
        .refusal = "warm_lru_pct must be > 1 and < 80", .argument = "num",
        .help = "1 to 79" },
    { IDLE .name = "hot_max_factor", .kind = OPTION_REAL, .low = 0.0, .high = 1e9,
        .offset = offsetof(struct options, hot_max_factor),
        .refusal = "hot_max_factor must be > 0", .argument = "ratio", .help = "over 0" },
    { IDLE .name = "warm_max_factor", .kind = OPTION_REAL, .low = 0.0, .high = 1e9,
        .offset = offsetof(struct options, warm_max_factor),
        .refusal = "warm_max_factor must be > 0", .argument = "ratio", .help = "over 0" },
    { IDLE .name = "temporary_ttl", .kind = OPTION_OTHER, .set = option_set_temporary_ttl,
        .argument = "num", .help = "seconds; needs lru_maintainer" },
    { IDLE .name = "read_buf_mem_limit", .kind = OPTION_U32, .unit = 1024 * 1024,
        .max = UINT32_MAX / 1024 / 1024,
        .offset = offsetof(struct options, read_buf_mem_limit), .argument = "MiB",
        .help = "buffers are bounded without it" },
    { IDLE .name = "relaxed_privileges", .kind = OPTION_FLAG, .value = true,
        .offset = offsetof(struct options, relaxed_privileges), .help = "" },
    OTHER(0, "resp_obj_mem_limit", option_set_retired, NULL, "retired"),
    { .name = "inline_ascii_resp", .kind = OPTION_NOTHING, .help = "retired" },
    { .name = "no_inline_ascii_resp", .kind = OPTION_NOTHING, .help = "retired" },
    { .name = "modern", .kind = OPTION_NOTHING, .help = "what is the default anyway" },
    OTHER(0, "no_modern", option_set_no_modern, NULL,
        "no_slab_reassign, no_maxconns_fast and no_lru_crawler in one word"),

#define LATER(word, value_name, what)                                                     \
    { .name = (word), .kind = OPTION_LATER, .argument = (value_name), .help = (what) }
#ifndef HAVE_TLS
    LATER("ssl_chain_cert", "path", "TLS"), LATER("ssl_key", "path", "TLS"),
    LATER("ssl_keyformat", "num", "TLS"), LATER("ssl_verify_mode", "num", "TLS"),
    LATER("ssl_ciphers", "list", "TLS"), LATER("ssl_ca_cert", "path", "TLS"),
    LATER("ssl_wbuf_size", "KiB", "TLS"), LATER("ssl_session_cache", NULL, "TLS"),
    LATER("ssl_kernel_tls", NULL, "TLS"), LATER("ssl_min_version", "num", "TLS"),
#endif
    LATER("ext_path", "file:size", "external storage"),
    LATER("ext_page_size", "num", "external storage"),
    LATER("ext_wbuf_size", "num", "external storage"),
    LATER("ext_threads", "num", "external storage"),
    LATER("ext_io_depth", "num", "external storage"),
    LATER("ext_item_size", "num", "external storage"),
    LATER("ext_item_age", "num", "external storage"),
    LATER("ext_low_ttl", "num", "external storage"),
    LATER("ext_recache_rate", "num", "external storage"),
    LATER("ext_compact_under", "num", "external storage"),
    LATER("ext_drop_under", "num", "external storage"),
    LATER("ext_max_sleep", "num", "external storage"),
    LATER("ext_max_frag", "num", "external storage"),
    LATER("ext_drop_unread", NULL, "external storage"),
    LATER("proxy_config", "path", "the proxy"), LATER("proxy_arg", "text", "the proxy"),
    LATER("proxy_uring", NULL, "the proxy"), LATER("proxy_memprofile", NULL, "the proxy"),
#undef LATER
    { .kind = OPTION_ACT },
};
