/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.h - everything the command line can say.
 *
 * options_init() gives the defaults, options_parse() reads argv. Nothing here opens,
 * binds or allocates anything but the strings of the options themselves.
 */
#ifndef LARDER_BASE_OPTIONS_H
#define LARDER_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

enum protocol_choice { PROTOCOL_AUTO, PROTOCOL_ASCII, PROTOCOL_BINARY };

/* What becomes of system calls that serving does not need: allowed; allowed, and written
 * to the kernel's audit log; refused; the end of the process. */
enum sandbox_mode { SANDBOX_OFF, SANDBOX_LOG, SANDBOX_ON, SANDBOX_STRICT };

/* Who gets the cache and the clients when this server makes room for another: nobody, the
 * service manager, or the process that is started then. */
enum handover_choice { HANDOVER_OFF, HANDOVER_MANAGER, HANDOVER_PROCESS };

/* Stores of one server that know nothing of each other; `default` is the first. */
#define OPTION_SPACES_MAX 16
#define OPTION_NAME_SIZE 33
#define OPTION_SPACE_DEFAULT "default"

struct option_space {
    char name[OPTION_NAME_SIZE];
    uint64_t memory; /* bytes; of the first 0: -m */
};

/* One --listener. */
struct option_listener {
    char *address;  /* an entry as of -l, or unix:/path */
    unsigned space; /* in options.spaces */
    uint8_t denied; /* enum right, joined by | */
    int mode;       /* of a unix socket, permission bits; -1: as -a */
    char *group;    /* whom its file is given to; or NULL */
    char *users;    /* who may connect, joined by +; NULL: anybody */
};
#define OPTION_LISTENERS_MAX 32u
#define OPTION_LISTENER_MAX 768u /* bytes of its text */

/* Is it a unix socket, and which file? NULL: it is none. */
bool option_listener_is_local(const struct option_listener *listener);
const char *option_listener_path(const struct option_listener *listener);

/* Where -l does not say otherwise. */
#define OPTION_LISTEN_DEFAULT "127.0.0.1"

struct options {
    int port;             /* -p; 0: no TCP listener, -1: any free port */
    int udp_port;         /* -U; 0: off, -1: any free port */
    bool port_given;
    char *unix_socket;    /* -s */
    unsigned unix_mask;   /* -a, permission bits of the socket file */
    bool shutdown_command; /* -A */
    char *listen;         /* -l, entries joined by commas; NULL: the default */
    struct option_listener *listeners; /* --listener, besides -l, -p and -s */
    unsigned nlisteners;
    struct option_space spaces[OPTION_SPACES_MAX];
    unsigned nspaces;     /* at least 1 */
    bool daemonize;       /* -d */
    bool coredumps;       /* -r */
    char *user;           /* -u */
    uint64_t memory_max;  /* -m, bytes */
    bool memory_given;
    uint64_t memory_total; /* --memory-total, bytes for everything; 0: no bound */
    bool evict;           /* not -M */
    int connections_max;  /* -c */
    bool lock_memory;     /* -k */
    int verbose;          /* -v */
    char *pid_file;       /* -P */
    double growth_factor; /* -f */
    int chunk_min;        /* -n */
    bool large_pages;     /* -L */
    char prefix_delimiter; /* -D */
    bool detail_enabled;
    int threads;          /* -t */
    int requests_per_event; /* -R */
    bool cas;             /* not -C: CAS uniques are shown */
    int backlog;          /* -b */
    enum protocol_choice protocol; /* -B, or what -S or -Y demand */
    bool protocol_given;
    uint64_t item_size_max; /* -I, bytes */
    bool sasl;            /* -S */
    bool flush_allowed;   /* not -F */
    bool dump_allowed;    /* not -X */
    bool watch_allowed;   /* not -W */
    char *auth_file;      /* -Y */
    char *memory_file;    /* -e */
    bool tls;             /* -Z */
    int napi_ids;         /* -N */

    /* -o */
    bool maxconns_fast;
    int hash_power;
    bool hash_expand;
    bool slab_reassign;
    bool evict_lru;       /* eviction=lru */
    int object_bias;      /* per cent */
    int counter_reserve;  /* per cent of memory */
    int slab_automove;
    double slab_automove_ratio;
    unsigned slab_automove_window;
    double slab_automove_freeratio;
    int tail_repair_time;
    const char *hash_algorithm; /* a constant: siphash13 (default), xxh3; jenkins and murmur3
                                 * are accepted */
    bool lru_crawler;
    int lru_crawler_sleep;
    uint32_t lru_crawler_tocrawl;
    bool lru_maintainer;
    int hot_lru_pct, warm_lru_pct;
    double hot_max_factor, warm_max_factor;
    bool temp_lru;
    unsigned temporary_ttl;
    char *ssl_chain_cert, *ssl_key, *ssl_ciphers, *ssl_ca_cert;
    int ssl_keyformat;    /* 1 PEM, 2 DER, as OpenSSL counts */
    int ssl_verify_mode;  /* 0 none, 1 request, 2 require, 3 require once */
    int ssl_min_version;  /* 0 to 3: TLS 1.0 to 1.3 */
    uint32_t ssl_wbuf_size; /* bytes */
    bool ssl_session_cache;
    bool ssl_kernel_tls;
    int idle_timeout;     /* seconds, 0: off */
    int udp_amplification; /* answers to a datagram may be so many times its length; 0:
                            * any amount */
    int partial_timeout;  /* seconds a command may take to arrive, 0: no limit */
    uint64_t slab_chunk_max; /* bytes */
    bool slab_chunk_max_given;
    uint32_t *slab_sizes; /* NULL: growth_factor */
    unsigned nslab_sizes;
    uint32_t watcher_logbuf_size, worker_logbuf_size; /* bytes */
    uint32_t read_buf_mem_limit; /* bytes */
    bool track_sizes;
    bool huge_pages;
    uint32_t latency_sample; /* time one turn in so many; 0: none */
    uint32_t hotkeys_sample; /* look for hot keys in one turn in so many; 0: in none */
    enum sandbox_mode sandbox;
    enum handover_choice handover;
    bool relaxed_privileges;
    uint32_t sock_cookie_id;
    char *http;           /* where the HTTP endpoint listens; NULL: nowhere */
    char *http_names;     /* its names, joined by commas; NULL: no more than it knows */
    char *config_file;    /* --config, absolute; NULL: none */
    char *directory;      /* absolute; where the program was started */
    bool check_config;    /* --check-config: print the settings and end */
    int argc;             /* as options_parse() had them; borrowed */
    char **argv;
    char *flush_prefixes; /* of keys, joined by commas; NULL: none */
    char *idle_words;     /* -o words given that have no effect here, by commas; or NULL */
};

#ifdef HAVE_TLS
#define OPTIONS_TLS true
#else
#define OPTIONS_TLS false
#endif

/* -o flush_prefix: how many there may be, and how long. */
#define FLUSH_PREFIXES_MAX 32u
#define FLUSH_PREFIX_MAX 64u

/* What `version` answers; at most 23 bytes, three numbers first: clients parse it. */
#define OPTIONS_VERSION LARDER_COMPAT "-larder" PACKAGE_VERSION

/* The defaults. Strings are heap memory; free with options_fini(). */
void options_init(struct options *options);
void options_fini(struct options *options);

/*
 * Reads the file of --config, then argv, left to right, into `options`; argv must stay, for
 * reading all of it again. Returns -1 to go on, or the status to exit
 * with: 0 after --help, --version, --license; otherwise an error was printed to stderr.
 */
int options_parse(struct options *options, int argc, char **argv);

/* Bytes of memory for all namespaces but the default one. */
uint64_t option_spaces_memory(const struct options *options);

/* The text of a setting may be cut to this, its zero included. */
#define OPTIONS_TEXT_MAX 4096

/* Prints all settings in the form that --config reads, to stdout. */
void options_print(const struct options *options);

/* Calls `fn` with the name of each setting in which the two differ ("memory-limit",
 * "idle_timeout") and its texts, which are borrowed for the call. False: in none. */
typedef void (*options_differ_fn)(
    void *context, const char *name, const char *before, const char *after);
bool options_differ(const struct options *old, const struct options *new,
    options_differ_fn fn, void *context);

#endif
