/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * http.c - the endpoint: its thread, its routes, and what all answers have in common.
 *
 * evhttp does the protocol. It is kept within bounds here: which methods, which hosts
 * (host.h), how many connections and for how long (crowd.h). Answers tell browsers to run
 * nothing but the page's own script, to frame nothing, to keep nothing, and to hand
 * nothing to pages of others.
 */
#include "http/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/wake.h"
#include "http/crowd.h"
#include "http/document.h"
#include "http/fields.h"
#include "http/host.h"
#include "http/metrics.h"
#include "http/page.h"

#define HOST_NAME_MAX_HERE 256
#define NONCE_BYTES        16
#define SWEEP_SECONDS      1
#define RETRY_MS           5   /* until there is room for another connection */
#define PAUSE_MS           200 /* after accept() failed */

struct http {
    struct http_parts parts;
    char own_name[HOST_NAME_MAX_HERE];
    struct event_base *base;
    struct evhttp *server;
    struct evconnlistener *listener; /* the server's */
    struct crowd crowd;
    struct event sweep;
    struct event stop;
    int stop_fd;
    bool closed; /* the listener is disabled */
    bool running;
    pthread_t thread;
};

/* ---- Connections ------------------------------------------------------------------- */

static void
sweep_in(struct http *http, long ms)
{
    const struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

    evtimer_add(&http->sweep, &time);
}

static void
on_sweep(evutil_socket_t fd, short what, void *context)
{
    struct http *http = context;

    (void)fd;
    (void)what;
    crowd_sweep(&http->crowd);
    bool room = crowd_has_room(&http->crowd);
    if (http->closed && room) {
        http->closed = false;
        evconnlistener_enable(http->listener);
    }
    sweep_in(http, room ? SWEEP_SECONDS * 1000 : RETRY_MS);
}

static struct bufferevent *
on_connection(struct event_base *base, void *context)
{
    struct http *http = context;

    crowd_sweep(&http->crowd);
    struct bufferevent *stream = crowd_enter(&http->crowd, base);
    if (!crowd_has_room(&http->crowd)) {
        http->closed = true;
        evconnlistener_disable(http->listener);
        sweep_in(http, RETRY_MS);
    }
    return stream;
}

/* Out of descriptors, most likely. */
static void
on_accept_error(struct evconnlistener *listener, void *context)
{
    struct http *http = context;

    http->closed = true;
    evconnlistener_disable(listener);
    sweep_in(http, PAUSE_MS);
}

/* ---- Answers ----------------------------------------------------------------------- */

static const char POLICY[] = "default-src 'none'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'";

static void
set_headers(struct evhttp_request *request)
{
    static const char *const headers[][2] = {
        { "Cache-Control", "no-store" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { "Content-Security-Policy", POLICY },
        { "Referrer-Policy", "no-referrer" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
    };
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        evhttp_add_header(out, headers[i][0], headers[i][1]);
}

static void
set_header(struct evhttp_request *request, const char *name, const char *value)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(request);

    evhttp_remove_header(out, name);
    evhttp_add_header(out, name, value);
}

/* Sends `body`, or only says how long it is if that was all that was asked. */
static void
answer(struct evhttp_request *request, int status, const char *reason, const char *type,
    struct evbuffer *body)
{
    char length[32];

    snprintf(length, sizeof length, "%zu", evbuffer_get_length(body));
    set_header(request, "Content-Type", type);
    set_header(request, "Content-Length", length);
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
        evbuffer_drain(body, evbuffer_get_length(body));
    evhttp_send_reply(request, status, reason, body);
}

static void
answer_text(
    struct evhttp_request *request, int status, const char *reason, const char *text)
{
    struct evbuffer *body = evbuffer_new();

    if (body == NULL || evbuffer_add(body, text, strlen(text)) != 0)
        evhttp_send_reply(request, HTTP_SERVUNAVAIL, "Service Unavailable", NULL);
    else
        answer(request, status, reason, "text/plain; charset=utf-8", body);
    if (body != NULL)
        evbuffer_free(body);
}

static void
answer_no_memory(struct evhttp_request *request)
{
    answer_text(request, HTTP_SERVUNAVAIL, "Service Unavailable", "out of memory\n");
}

/* ---- Routes ------------------------------------------------------------------------ */

/* Each writes its answer into `body`, which is empty, and returns the type of it; NULL:
 * out of memory. */
static const char *
make_metrics(struct http *http, struct evhttp_request *request, struct evbuffer *body)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(request);
    bool openmetrics = accept_openmetrics(evhttp_find_header(in, "Accept"));
    struct fields fields;
    bool done = fields_init(&fields, http->parts.admin) &&
                metrics_put(body, &fields, &http->parts, openmetrics);

    fields_fini(&fields);
    set_header(request, "Vary", "Accept");
    return !done ? NULL : openmetrics ? METRICS_TYPE_OPEN : METRICS_TYPE_TEXT;
}

static const char *
make_json(struct http *http, struct evhttp_request *request, struct evbuffer *body)
{
    struct fields fields;
    bool done = fields_init(&fields, http->parts.admin) &&
                document_put(body, &fields, &http->parts);

    (void)request;
    fields_fini(&fields);
    return done ? "application/json" : NULL;
}

static bool
draw_nonce(char nonce[static 2 * NONCE_BYTES + 1])
{
    unsigned char bytes[NONCE_BYTES];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < NONCE_BYTES; i++)
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* The page with `nonce` in the place of each PAGE_NONCE. */
static bool
put_page(struct evbuffer *body, const char *nonce)
{
    const unsigned char *at = page_html, *end = page_html + page_html_len, *mark;
    size_t len = sizeof PAGE_NONCE - 1;
    bool done = true;

    while ((mark = memmem(at, (size_t)(end - at), PAGE_NONCE, len)) != NULL) {
        done = done && evbuffer_add(body, at, (size_t)(mark - at)) == 0 &&
               evbuffer_add(body, nonce, strlen(nonce)) == 0;
        at = mark + len;
    }
    return done && evbuffer_add(body, at, (size_t)(end - at)) == 0;
}

static const char *
make_page(struct http *http, struct evhttp_request *request, struct evbuffer *body)
{
    char nonce[2 * NONCE_BYTES + 1], policy[512];

    (void)http;
    if (!draw_nonce(nonce) || !put_page(body, nonce))
        return NULL;
    snprintf(policy, sizeof policy,
        "%s; connect-src 'self'; img-src data:; style-src 'nonce-%s'; script-src "
        "'nonce-%s'",
        POLICY, nonce, nonce);
    set_header(request, "Content-Security-Policy", policy);
    return "text/html; charset=utf-8";
}

static void
answer_health(struct http *http, struct evhttp_request *request)
{
    unsigned stalled = http->parts.stalled(http->parts.context);
    char text[64];

    if (stalled == 0) {
        answer_text(request, HTTP_OK, "OK", "ok\n");
        return;
    }
    snprintf(
        text, sizeof text, "%u worker%s stalled\n", stalled, stalled == 1 ? "" : "s");
    answer_text(request, HTTP_SERVUNAVAIL, "Service Unavailable", text);
}

static const struct route {
    const char *path;
    const char *(*make)(
        struct http *http, struct evhttp_request *request, struct evbuffer *body);
} routes[] = {
    { "/", make_page },
    { "/metrics", make_metrics },
    { "/stats.json", make_json },
};

static const struct route *
find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

static void
answer_path(struct http *http, struct evhttp_request *request, const char *path)
{
    const struct route *route = find_route(path);
    struct evbuffer *body;
    const char *type;

    if (strcmp(path, "/healthz") == 0) {
        answer_health(http, request);
        return;
    }
    if (route == NULL) {
        answer_text(request, HTTP_NOTFOUND, "Not Found",
            "not found; there are / /metrics /stats.json /healthz\n");
        return;
    }
    body = evbuffer_new();
    type = body == NULL ? NULL : route->make(http, request, body);
    if (type == NULL)
        answer_no_memory(request);
    else
        answer(request, HTTP_OK, "OK", type, body);
    if (body != NULL)
        evbuffer_free(body);
}

/* By the Host header and by the address in the request line, if that has one. */
static bool
is_for_us(const struct http *http, struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *header =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Host");
    const char *named = uri == NULL ? NULL : evhttp_uri_get_host(uri);

    if (http->parts.local)
        return true;
    return (header == NULL || host_is_ours(header, http->own_name, http->parts.names)) &&
           (named == NULL || host_is_ours(named, http->own_name, http->parts.names));
}

static void
on_request(struct evhttp_request *request, void *context)
{
    struct http *http = context;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);

    /* evhttp keeps the connection of a CONNECT for what is to come through it. */
    if (connection != NULL)
        crowd_asked(&http->crowd, evhttp_connection_get_bufferevent(connection),
            method != EVHTTP_REQ_CONNECT);
    set_headers(request);
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        set_header(request, "Allow", "GET, HEAD");
        answer_text(request, HTTP_BADMETHOD, "Method Not Allowed", "GET and HEAD only\n");
    } else if (!is_for_us(http, request)) {
        answer_text(request, 421, "Misdirected Request",
            "the Host is none of this server's names; -o http_name=NAME adds one\n");
    } else {
        answer_path(http, request, path == NULL || *path == '\0' ? "/" : path);
    }
}

/* ---- The thread -------------------------------------------------------------------- */

static void
on_stop(evutil_socket_t fd, short what, void *context)
{
    struct http *http = context;

    (void)fd;
    (void)what;
    event_base_loopbreak(http->base);
}

static void *
http_main(void *context)
{
    struct http *http = context;

    pthread_setname_np(pthread_self(), "http");
    event_base_dispatch(http->base);
    return NULL;
}

static struct event_base *
make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* Every method is let through to on_request(), which refuses in its own words. */
static void
set_bounds(struct http *http)
{
    evhttp_set_allowed_methods(
        http->server, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                          EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                          EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(http->server, HTTP_HEADERS_MAX);
    evhttp_set_max_body_size(http->server, HTTP_BODY_MAX);
    evhttp_set_timeout(http->server, HTTP_PATIENCE);
    evhttp_set_default_content_type(http->server, NULL);
    evhttp_set_bevcb(http->server, on_connection, http);
    evhttp_set_gencb(http->server, on_request, http);
}

/* The socket belongs to the listener, and that to the server, as soon as they are made.
 */
static int
make_server(struct http *http)
{
    struct evhttp_bound_socket *bound = NULL;

    http->base = make_base();
    http->server = http->base == NULL ? NULL : evhttp_new(http->base);
    if (http->server != NULL)
        bound = evhttp_accept_socket_with_handle(http->server, http->parts.fd);
    if (bound == NULL)
        return -ENOMEM;
    http->listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(http->listener, on_accept_error);
    set_bounds(http);
    http->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (http->stop_fd < 0)
        return -errno;
    if (evtimer_assign(&http->sweep, http->base, on_sweep, http) != 0 ||
        event_assign(&http->stop, http->base, http->stop_fd, EV_READ, on_stop, http) !=
            0 ||
        event_add(&http->stop, NULL) != 0)
        return -ENOMEM;
    sweep_in(http, SWEEP_SECONDS * 1000);
    return 0;
}

struct http *
http_create(const struct http_parts *parts)
{
    struct http *http = calloc(1, sizeof *http);
    int error;

    if (http == NULL) {
        close(parts->fd);
        errno = ENOMEM;
        return NULL;
    }
    http->parts = *parts;
    http->stop_fd = -1;
    if (gethostname(http->own_name, sizeof http->own_name - 1) != 0)
        http->own_name[0] = '\0';
    error = make_server(http);
    if (error != 0) {
        http_stop(http);
        errno = -error;
        return NULL;
    }
    return http;
}

int
http_start(struct http *http)
{
    int error = pthread_create(&http->thread, NULL, http_main, http);

    http->running = error == 0;
    return -error;
}

void
http_stop(struct http *http)
{
    if (http == NULL)
        return;
    if (http->running) {
        wake_up(http->stop_fd);
        pthread_join(http->thread, NULL);
    }
    if (http->listener == NULL)
        close(http->parts.fd);
    if (http->server != NULL)
        evhttp_free(http->server);
    crowd_leave(&http->crowd);
    if (http->base != NULL) {
        if (event_initialized(&http->sweep))
            event_del(&http->sweep);
        if (event_initialized(&http->stop))
            event_del(&http->stop);
        event_base_free(http->base);
    }
    if (http->stop_fd >= 0)
        close(http->stop_fd);
    free(http);
}
