/* SPDX-License-Identifier: BSD-3-Clause */
/* Asserts with assert() alone: libcheck's own are for one thread only. */
#include "toy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define LINE_MAX_LEN 4096u

/* ---- The service ------------------------------------------------------------------ */

struct toy_session {
    struct toy_lane *lane;
    char *upload; /* NULL: none is going on */
    size_t upload_len, upload_got;
    unsigned flood; /* outboxes still to be filled */
    bool sticky;
    bool naps;  /* runs nothing until it is woken */
    bool hears; /* says so when it is woken */
    bool waits; /* for a share */
    atomic_bool rung;
    void (*wake)(void *handle);
    void *wake_handle;
    struct toy_session *next_sleeper; /* guarded by toy->lock */
};

struct toy_lane {
    struct toy *toy;
    const char *looked_at; /* first byte of the last look() */
    int shares;            /* that this turn has left */
    int opened;            /* since the last turn */
};

struct toy_pin {
    struct toy *toy;
    char *bytes;
};

char
toy_pin_byte(size_t i)
{
    return (char)('a' + i % 23);
}

static void *
lane_open(void *context, unsigned index)
{
    struct toy_lane *lane = calloc(1, sizeof *lane);

    (void)index;
    assert(lane != NULL);
    lane->toy = context;
    lane->toy->lanes++;
    return lane;
}

static void
lane_close(void *p)
{
    struct toy_lane *lane = p;

    lane->toy->lanes--;
    free(lane);
}

/* ---- Sessions that others wake ---------------------------------------------------- */

static void
lie_down(struct toy_session *session)
{
    struct toy *toy = session->lane->toy;

    pthread_mutex_lock(&toy->lock);
    session->next_sleeper = toy->first_sleeper;
    toy->first_sleeper = session;
    toy->sleepers++;
    pthread_mutex_unlock(&toy->lock);
}

static void
get_up(struct toy_session *session)
{
    struct toy *toy = session->lane->toy;
    struct toy_session **link = &toy->first_sleeper;

    pthread_mutex_lock(&toy->lock);
    while (*link != NULL && *link != session)
        link = &(*link)->next_sleeper;
    if (*link != NULL) {
        *link = session->next_sleeper;
        toy->sleepers--;
    }
    pthread_mutex_unlock(&toy->lock);
}

void
toy_ring(struct toy *toy)
{
    pthread_mutex_lock(&toy->lock);
    for (struct toy_session *session = toy->first_sleeper; session != NULL;
         session = session->next_sleeper) {
        atomic_store(&session->rung, true);
        session->wake(session->wake_handle);
    }
    pthread_mutex_unlock(&toy->lock);
}

static void *
session_open(void *p, const struct peer *peer)
{
    struct toy_session *session = peer->place;

    assert(session != NULL);
    assert((uintptr_t)session % 8 == 0);
    for (size_t i = 0; i < sizeof *session; i++)
        assert(((const char *)session)[i] == 0);
    assert(peer->fd >= 0);
    assert(peer->datagram || peer->wake != NULL);
    session->wake = peer->wake;
    ((struct toy_lane *)p)->toy->denied = peer->denied;
    session->wake_handle = peer->wake_handle;
    session->lane = p;
    session->lane->toy->sessions++;
    session->lane->toy->opened++;
    session->lane->opened++;
    return session;
}

static void
session_close(void *p)
{
    struct toy_session *session = p;

    get_up(session);
    session->lane->toy->sessions--;
    free(session->upload);
}

#define PACK_LEN 2u

static size_t
pack(const void *p, char *bytes)
{
    const struct toy_session *session = p;

    if (session->upload != NULL || session->flood > 0 || session->naps || session->hears)
        return 0;
    session->lane->toy->packed++;
    bytes[0] = 'T';
    bytes[1] = session->sticky ? 's' : '-';
    return PACK_LEN;
}

static void *
unpack(void *lane, const struct peer *peer, const char *bytes, size_t len)
{
    struct toy_session *session;

    if (len != PACK_LEN || bytes[0] != 'T')
        return NULL;
    session = session_open(lane, peer);
    session->sticky = bytes[1] == 's';
    session->lane->toy->unpacked++;
    return session;
}

static unsigned
want(void *p, struct iovec *iov, unsigned max)
{
    struct toy_session *session = p;

    assert(max >= 2);
    if (session->upload == NULL)
        return 0;
    /* Two places, so that a read is split between them. */
    size_t left = session->upload_len - session->upload_got, half = left / 2;
    iov[0] = (struct iovec){ session->upload + session->upload_got, half };
    iov[1] = (struct iovec){ session->upload + session->upload_got + half, left - half };
    return 2;
}

static void
finish_upload(struct toy_session *session, struct outbox *out)
{
    char reply[64];
    unsigned long sum = 0;

    for (size_t i = 0; i < session->upload_len; i++)
        sum += (unsigned char)session->upload[i];
    int len = snprintf(reply, sizeof reply, "up %lu\n", sum);
    outbox_put(out, reply, (size_t)len);
    free(session->upload);
    session->upload = NULL;
}

static enum service_next
filled(void *p, size_t len, struct outbox *out)
{
    struct toy_session *session = p;

    assert(session->upload != NULL);
    session->lane->toy->direct_bytes += (int)len;
    session->upload_got += len;
    assert(session->upload_got <= session->upload_len);
    if (session->upload_got == session->upload_len)
        finish_upload(session, out);
    return SERVICE_READ_BITE;
}

static void
look(void *p, const char *data, size_t len)
{
    struct toy_session *session = p;

    assert(len > 0);
    session->lane->looked_at = data;
    session->lane->toy->looks++;
}

static void
looked(void *p)
{
    struct toy_lane *lane = p;

    assert(lane->looked_at != NULL);
    lane->toy->looked++;
}

static void
turn(void *p)
{
    struct toy_lane *lane = p;

    lane->shares = lane->toy->shares;
    if (lane->opened > lane->toy->opened_most)
        lane->toy->opened_most = lane->opened;
    lane->opened = 0;
}

/* False: the turn has none left. */
static bool
take_share(struct toy_session *session, char name, struct outbox *out)
{
    struct toy *toy = session->lane->toy;

    if (session->lane->shares == 0) {
        toy->refused += !session->waits;
        session->waits = true;
        return false;
    }
    session->lane->shares--;
    assert(toy->shared < TOY_SHARED_MAX);
    toy->order[toy->shared++] = name;
    outbox_put(out, "had\n", 4);
    return true;
}

static void
put_pin(struct toy_session *session, size_t len, struct outbox *out)
{
    struct toy_pin *pin = malloc(sizeof *pin);
    size_t half = len / 2;

    assert(pin != NULL);
    *pin = (struct toy_pin){ session->lane->toy, malloc(len) };
    assert(pin->bytes != NULL);
    for (size_t i = 0; i < len; i++)
        pin->bytes[i] = toy_pin_byte(i);
    pin->toy->pins++;
    /* Two runs, one pin, as a value in several pieces has it. */
    outbox_ref(out, pin->bytes, half, NULL);
    outbox_ref(out, pin->bytes + half, len - half, pin);
    outbox_put(out, "\n", 1);
}

static void
release(void *p, void *pin_pointer)
{
    struct toy_lane *lane = p;
    struct toy_pin *pin = pin_pointer;

    assert(lane->toy == pin->toy);
    pin->toy->pins--;
    free(pin->bytes);
    free(pin);
}

/* One line without its LF. */
static enum service_next
run_line(struct toy_session *session, char *line, struct outbox *out)
{
    unsigned long number = strchr(line, ' ') == NULL
        ? 0
        : strtoul(strchr(line, ' ') + 1, NULL, 10);

    if (strncmp(line, "echo ", 5) == 0) {
        session->lane->toy->echoes++;
        outbox_put(out, line + 5, strlen(line + 5));
        outbox_put(out, "\n", 1);
    } else if (strncmp(line, "pin ", 4) == 0) {
        put_pin(session, number, out);
    } else if (strncmp(line, "flood ", 6) == 0) {
        session->flood = (unsigned)number;
    } else if (strncmp(line, "up ", 3) == 0) {
        session->upload = malloc(number);
        assert(session->upload != NULL);
        session->upload_len = number;
        session->upload_got = 0;
    } else if (strcmp(line, "stick") == 0) {
        session->sticky = true;
        outbox_put(out, "ok\n", 3);
    } else if (strcmp(line, "nap") == 0) {
        session->naps = true;
        lie_down(session);
    } else if (strcmp(line, "ears") == 0) {
        outbox_put(out, "hm\n", 3);
        session->hears = true;
        lie_down(session);
    } else if (strcmp(line, "quit") == 0) {
        outbox_put(out, "bye\n", 4);
        return SERVICE_CLOSE;
    } else {
        return SERVICE_CLOSE;
    }
    return SERVICE_READ;
}

static enum service_next
run_flood(struct toy_session *session, struct outbox *out)
{
    size_t room = outbox_room(out);

    if (room < 2)
        return SERVICE_DRAIN;
    memset(outbox_tail(out), '.', room - 1);
    outbox_grow(out, room - 1);
    if (--session->flood == 0) {
        outbox_put(out, "\n", 1);
        return SERVICE_READ;
    }
    return SERVICE_DRAIN;
}

static size_t
take_upload(struct toy_session *session, const char *data, size_t len, struct outbox *out)
{
    size_t left = session->upload_len - session->upload_got;
    size_t n = len < left ? len : left;

    memcpy(session->upload + session->upload_got, data, n);
    session->upload_got += n;
    if (session->upload_got == session->upload_len)
        finish_upload(session, out);
    return n;
}

static enum service_next
took(void *p, char *data, size_t len, unsigned budget, size_t *used_out,
    struct outbox *out)
{
    struct toy_session *session = p;
    size_t at = 0;
    enum service_next next = SERVICE_READ;

    assert(budget > 0);
    assert(outbox_empty(out));
    if (session->hears && atomic_exchange(&session->rung, false))
        outbox_put(out, "ding\n", 5);
    for (;;) {
        if (session->naps) {
            if (!atomic_exchange(&session->rung, false)) {
                next = SERVICE_WAIT;
                break;
            }
            get_up(session);
            session->naps = false;
            outbox_put(out, "awake\n", 6);
        }
        if (session->flood > 0 && (next = run_flood(session, out)) != SERVICE_READ)
            break;
        if (session->upload != NULL)
            at += take_upload(session, data + at, len - at, out);
        char *lf = at < len && session->upload == NULL ? memchr(data + at, '\n', len - at)
                                                       : NULL;
        if (lf == NULL)
            break;
        if (budget-- == 0) {
            next = SERVICE_AGAIN;
            break;
        }
        if (outbox_room(out) < LINE_MAX_LEN || out->nrefs > OUTBOX_REFS - 2) {
            next = SERVICE_DRAIN;
            break;
        }
        if (memcmp(data + at, "share ", 6) == 0) { /* what is kept is whole lines */
            if (!take_share(session, data[at + 6], out)) {
                next = SERVICE_LATER;
                break;
            }
            at = (size_t)(lf - data) + 1;
            continue;
        }
        *lf = '\0';
        next = run_line(session, data + at, out);
        at = (size_t)(lf - data) + 1;
        if (next == SERVICE_CLOSE)
            break;
    }
    *used_out = at;
    return next;
}

static bool
midway(const void *p)
{
    const struct toy_session *session = p;

    return session->upload != NULL;
}

static enum conn_state
state(const void *p)
{
    const struct toy_session *session = p;

    if (session->hears)
        return CONN_WATCH;
    return midway(p) ? CONN_NREAD : CONN_WAITING;
}

static void
lane_tick(void *p, uint32_t now)
{
    struct toy_lane *lane = p;

    assert(now >= CLOCK_FIRST);
    lane->toy->ticks++;
}

static bool
give_up(const void *p, uint32_t stalled)
{
    const struct toy_session *session = p;

    assert(stalled > 0);
    return session->sticky;
}

static void
too_long(void *session, struct outbox *out)
{
    (void)session;
    outbox_put(out, "long\n", 5);
}

void
toy_service(struct service *service_out)
{
    *service_out = (struct service){ sizeof(struct toy_session), lane_open, lane_close,
        session_open, session_close, pack, unpack, want, filled, look, looked, took, release,
        midway, state, lane_tick, give_up, .too_long = too_long, .full_reply = TOY_FULL,
        .measure = NULL, .answered = NULL, .turn = turn };
}

/* ---- The server --------------------------------------------------------------------- */

struct toy_server *
toy_server_create(void)
{
    struct toy_server *server = calloc(1, sizeof *server);

    assert(server != NULL);
    options_init(&server->options);
    server->options.port = -1;
    server->options.threads = 2;
    toy_service(&server->service);
    clock_start(&server->clock);
    sem_init(&server->ready, 0, 0);
    server->stop_fd = eventfd(0, EFD_NONBLOCK);
    return server;
}

static void
on_stop(evutil_socket_t fd, short what, void *context)
{
    uint64_t count;

    (void)what;
    assert(read(fd, &count, sizeof count) == sizeof count);
    event_base_loopbreak(context);
}

void
toy_cargo_put(void *context, int fd, const void *bytes, size_t len)
{
    struct toy_cargo *cargo = context;

    assert(len <= NET_PARCEL_MAX);
    if (cargo->n == cargo->size) {
        cargo->size = 2 * cargo->size + 16;
        cargo->parcels = realloc(cargo->parcels, cargo->size * sizeof *cargo->parcels);
        assert(cargo->parcels != NULL);
    }
    struct toy_parcel *parcel = &cargo->parcels[cargo->n++];
    *parcel = (struct toy_parcel){ fd, len, malloc(len) };
    assert(parcel->bytes != NULL);
    memcpy(parcel->bytes, bytes, len);
}

static void
forget_cargo(struct toy_cargo *cargo)
{
    for (unsigned i = 0; i < cargo->n; i++)
        free(cargo->parcels[i].bytes);
    free(cargo->parcels);
    *cargo = (struct toy_cargo){ .n = 0 };
}

void
toy_cargo_drop(struct toy_cargo *cargo)
{
    for (unsigned i = 0; i < cargo->n; i++)
        close(cargo->parcels[i].fd);
    forget_cargo(cargo);
}

static void
take_cargo(struct toy_server *server)
{
    struct toy_cargo *cargo = &server->cargo;

    for (unsigned i = 0; i < cargo->n; i++)
        server->refused += !net_take(server->net, cargo->parcels[i].fd,
            cargo->parcels[i].bytes, cargo->parcels[i].len);
    forget_cargo(cargo);
}

static void
end_net(struct toy_server *server)
{
    if (server->leave_to != NULL)
        net_leave(server->net, toy_cargo_put, server->leave_to);
    else
        net_stop(server->net);
    net_figures(server->net, &server->last_figures);
    net_counts(server->net, &server->last_counts);
}

static void *
server_main(void *context)
{
    struct toy_server *server = context;
    struct event stop;
    const struct net_space spaces[] = { { .context = &server->toy },
        { .context = &server->second } };
    struct net_parts parts = { &server->options, &server->clock, &server->service, spaces,
        .nspaces = server->options.nspaces, .activated = server->activated,
        .nactivated = server->nactivated, .totals_before = server->totals_before,
        .counts_before = server->counts_before };

    parts.base = server->base = event_base_new();
    event_assign(&stop, server->base, server->stop_fd, EV_READ, on_stop, server->base);
    event_add(&stop, NULL);
    server->net = net_create(&parts);
    if (server->net != NULL)
        take_cargo(server);
    server->status = server->net == NULL ? -1 : net_listen(server->net);
    if (server->status == 0)
        server->status = net_start(server->net);
    if (server->status == 0)
        server->port = net_port(server->net);
    sem_post(&server->ready);
    if (server->status == 0) {
        event_base_dispatch(server->base);
        end_net(server);
    }
    if (server->net != NULL)
        net_destroy(server->net);
    event_del(&stop);
    event_base_free(server->base);
    return NULL;
}

void
toy_server_start(struct toy_server *server)
{
    assert(pthread_create(&server->thread, NULL, server_main, server) == 0);
    while (sem_wait(&server->ready) != 0)
        assert(errno == EINTR);
}

void
toy_server_end(struct toy_server *server)
{
    uint64_t one = 1;

    assert(write(server->stop_fd, &one, sizeof one) == sizeof one);
    pthread_join(server->thread, NULL);
    assert(server->toy.sessions == 0);
    assert(server->toy.pins == 0);
    assert(server->toy.lanes == 0);
    assert(server->second.sessions == 0);
    assert(server->second.pins == 0);
    assert(server->second.lanes == 0);
}

void
toy_server_free(struct toy_server *server)
{
    close(server->stop_fd);
    sem_destroy(&server->ready);
    options_fini(&server->options);
    free(server);
}

void
toy_server_destroy(struct toy_server *server)
{
    toy_server_end(server);
    toy_server_free(server);
}

void
toy_server_leave(struct toy_server *server, struct toy_cargo *cargo)
{
    server->leave_to = cargo;
    toy_server_destroy(server);
}

/* ---- Clients ------------------------------------------------------------------------ */

int
toy_connect(const struct toy_server *server)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)server->port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert(fd >= 0);
    assert(connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
    return fd;
}

void
toy_send(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        struct pollfd wait = { .fd = fd, .events = POLLOUT };
        assert(poll(&wait, 1, PATIENCE_MS) == 1);
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        assert(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void
toy_say(int fd, const char *text)
{
    toy_send(fd, text, strlen(text));
}

void
toy_read(int fd, void *to, size_t len)
{
    char *at = to;

    while (len > 0) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        assert(poll(&wait, 1, PATIENCE_MS) == 1);
        ssize_t n = recv(fd, at, len, 0);
        assert(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void
toy_hear(int fd, const char *text)
{
    char got[4096];

    for (size_t left = strlen(text), n; left > 0; left -= n, text += n) {
        n = left < sizeof got ? left : sizeof got;
        toy_read(fd, got, n);
        if (memcmp(got, text, n) != 0) {
            fprintf(stderr, "heard \"%.*s\" in place of \"%.*s\"\n", (int)n, got, (int)n,
                text);
            abort();
        }
    }
}

void
toy_hear_end(int fd)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    char byte;

    assert(poll(&wait, 1, PATIENCE_MS) == 1);
    assert(recv(fd, &byte, 1, 0) == 0);
}

void
toy_sleep_ms(unsigned ms)
{
    struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

    nanosleep(&time, NULL);
}

bool
toy_wait(atomic_int *number, int value)
{
    /* Patient, for builds with sanitizers on busy machines. */
    for (int i = 0; i < 24000 && atomic_load(number) != value; i++)
        toy_sleep_ms(5);
    return atomic_load(number) == value;
}
