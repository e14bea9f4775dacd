/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_http.c - protects the endpoint as a whole, over a store and made-up workers: its
 * answers, what a worker that hangs does to them, and that it looks at a server at work
 * without a race (meant for ThreadSanitizer).
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/assert.h"
#include "http/http.h"

#define PATIENCE_S 60

struct setting {
    struct options options;
    struct clock clock;
    struct store *store;
    struct admin *admin;
    struct http *http;
    char path[64];
    _Atomic unsigned stalled;
};

static void
give_counts(void *context, struct counts *sum)
{
    (void)context;
    sum->cmd_get = 17;
    sum->get_hits = 12;
    sum->get_misses = 5;
}

static void
give_connections(void *context, struct conn_figures *figures_out)
{
    (void)context;
    *figures_out = (struct conn_figures){ .current = 3, .total = 30 };
}

static unsigned
give_stalled(void *context)
{
    return atomic_load(&((struct setting *)context)->stalled);
}

static void
make_admin(struct setting *setting)
{
    struct store_options wanted = { .memory_max = 8u << 20, .item_size_max = 1u << 20,
        .chunk_max = 65536, .chunk_min = 48, .growth_factor = 1.25, .evict = true,
        .slab_reassign = true, .hash_key = "sixteen bytes..." };
    const char *why = "";

    setting->store = store_create(&wanted, &why);
    ck_assert_msg(setting->store != NULL, "%s", why);
    struct admin_parts parts = {
        .store = setting->store,
        .options = &setting->options,
        .clock = &setting->clock,
        .version = "1.6.45-larder9.8.7",
        .libevent_version = "2.1.12-stable",
        .sandbox = "none",
        .context = setting,
        .counts = give_counts,
        .connections = give_connections,
    };
    setting->admin = admin_create(&parts);
    ck_assert(setting->admin != NULL);
}

static void
open_setting(struct setting *setting)
{
    char where[96];
    struct http_parts parts = { .context = setting, .stalled = give_stalled };

    memset(setting, 0, sizeof *setting);
    options_init(&setting->options);
    clock_start(&setting->clock);
    make_admin(setting);
    snprintf(setting->path, sizeof setting->path, "/tmp/larder-check-http-%ld",
        (long)getpid());
    snprintf(where, sizeof where, "unix:%s", setting->path);
    parts.fd = http_listen(where, 0700, &parts.local);
    ck_assert_int_ge(parts.fd, 0);
    ck_assert(parts.local);
    parts.admin = setting->admin;
    setting->http = http_create(&parts);
    ck_assert(setting->http != NULL);
    ck_assert_int_eq(http_start(setting->http), 0);
}

static void
close_setting(struct setting *setting)
{
    http_stop(setting->http);
    unlink(setting->path);
    admin_destroy(setting->admin);
    store_destroy(setting->store);
    options_fini(&setting->options);
}

static int
dial(const struct setting *setting)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    memcpy(name.sun_path, setting->path, strlen(setting->path));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* All that is answered until the server closes; to be freed. */
static char *
hear(int fd)
{
    size_t used = 0, size = 1u << 20;
    char *text = malloc(size);
    ssize_t got;

    ck_assert(text != NULL);
    while ((got = recv(fd, text + used, size - used - 1, 0)) > 0)
        used += (size_t)got;
    ck_assert_msg(got == 0 || errno == ECONNRESET, "%s", strerror(errno));
    text[used] = '\0';
    return text;
}

static char *
ask(const struct setting *setting, const char *line)
{
    char text[512];
    int fd = dial(setting);
    int len = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "\r\n", line);

    ck_assert_int_eq(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    char *reply = hear(fd);
    close(fd);
    return reply;
}

#define ASK_FOR(line, front, inside)                                                      \
    do {                                                                                  \
        char *heard = ask(&setting, line);                                                \
        ck_assert_msg(strncmp(heard, front, strlen(front)) == 0, "%s", heard);            \
        ck_assert_msg(strstr(heard, inside) != NULL, "%s", heard);                        \
        free(heard);                                                                      \
    } while (0)

START_TEST(a_worker_that_hangs_is_ill_health_until_it_goes_on)
{
    struct setting setting;

    open_setting(&setting);
    ASK_FOR("GET /healthz", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n");
    atomic_store(&setting.stalled, 1);
    ASK_FOR("GET /healthz", "HTTP/1.1 503 Service Unavailable\r\n", "1 worker stalled\n");
    ASK_FOR("GET /metrics", "HTTP/1.1 200 OK\r\n", "\nlarder_stalled_threads 1\n");
    ASK_FOR("GET /stats.json", "HTTP/1.1 200 OK\r\n", "{\"stalled_threads\":1,");
    atomic_store(&setting.stalled, 3);
    ASK_FOR("HEAD /healthz", "HTTP/1.1 503 Service Unavailable\r\n", "Content-Length: 18");
    atomic_store(&setting.stalled, 0);
    ASK_FOR("GET /healthz", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n");
    close_setting(&setting);
}
END_TEST

START_TEST(figures_are_those_of_the_workers)
{
    struct setting setting;

    open_setting(&setting);
    ASK_FOR("GET /metrics", "HTTP/1.1 200 OK\r\n",
        "\nmemcached_commands_total{command=\"get\",status=\"hit\"} 12\n");
    ASK_FOR("GET /metrics", "HTTP/1.1 200 OK\r\n", "\nmemcached_current_connections 3\n");
    ASK_FOR("GET /stats.json", "HTTP/1.1 200 OK\r\n", "\"cmd_get\":17,");
    ASK_FOR("GET /", "HTTP/1.1 200 OK\r\n", "<title>Larder</title>");
    close_setting(&setting);
}
END_TEST

START_TEST(it_ends_with_clients_at_any_stage)
{
    struct setting setting;
    static const char *const sayings[] = { "", "G", "GET / HTTP/1.1\r\nHost: x\r\n",
        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc" };
    int fds[5];

    open_setting(&setting);
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = dial(&setting);
        (void)!send(fds[i], sayings[i], strlen(sayings[i]), MSG_NOSIGNAL);
    }
    ASK_FOR("GET /healthz", "HTTP/1.1 200 OK\r\n", "ok\n");
    close_setting(&setting);
    for (unsigned i = 0; i < 5; i++)
        close(fds[i]);
}
END_TEST

START_TEST(it_can_be_given_up_before_it_starts)
{
    struct setting setting;

    open_setting(&setting);
    http_stop(setting.http);
    struct http_parts parts = { .admin = setting.admin, .context = &setting,
        .stalled = give_stalled };
    char where[96];
    snprintf(where, sizeof where, "unix:%s", setting.path);
    parts.fd = http_listen(where, 0700, &parts.local);
    ck_assert_int_ge(parts.fd, 0);
    setting.http = http_create(&parts);
    ck_assert(setting.http != NULL);
    close_setting(&setting);
}
END_TEST

struct churner {
    struct setting *setting;
    _Atomic bool stop;
};

static void *
churn(void *context)
{
    struct churner *churner = context;
    struct store *store = churner->setting->store;
    struct store_thread *thread = store_thread_open(store);

    ck_assert(thread != NULL);
    for (unsigned i = 0; !atomic_load(&churner->stop); i = (i + 1) % 5000) {
        static const char value[3000] = { 0 };
        char text[32];
        struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "k:%u", i));
        struct store_write write = { .mode = STORE_SET, .key = key,
            .hash = store_hash(store, key), .value = slice_of(value, i % sizeof value) };
        struct store_written written;

        (void)store_write(
            store, thread, &write, clock_seconds(&churner->setting->clock), &written);
    }
    store_thread_close(thread);
    return NULL;
}

START_TEST(it_looks_on_while_others_store)
{
    struct setting setting;
    struct churner churner = { .setting = &setting };
    pthread_t thread;

    open_setting(&setting);
    atomic_init(&churner.stop, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, churn, &churner), 0);
    for (unsigned i = 0; i < 20; i++) {
        ASK_FOR("GET /metrics", "HTTP/1.1 200 OK\r\n", "memcached_current_items");
        ASK_FOR("GET /stats.json", "HTTP/1.1 200 OK\r\n", "\"curr_items\":");
    }
    atomic_store(&churner.stop, true);
    pthread_join(thread, NULL);
    close_setting(&setting);
}
END_TEST

START_TEST(what_cannot_be_listened_on_is_refused)
{
    static const char *const places[] = { "unix:/nonexistent/larder/socket", "[::1", "x",
        "127.0.0.1:", "256.256.256.256:80", "unix:/tmp/"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    bool local;

    ck_assert_int_eq(http_listen(places[_i], 0700, &local), -1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("http");
    TCase *tc = tcase_create("http");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_worker_that_hangs_is_ill_health_until_it_goes_on);
    tcase_add_test(tc, figures_are_those_of_the_workers);
    tcase_add_test(tc, it_ends_with_clients_at_any_stage);
    tcase_add_test(tc, it_can_be_given_up_before_it_starts);
    tcase_add_test(tc, it_looks_on_while_others_store);
    tcase_add_loop_test(tc, what_cannot_be_listened_on_is_refused, 0, 6);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
