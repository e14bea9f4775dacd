/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp.c - one datagram: requests in, answers out, nothing left behind.
 *
 * The worker's input buffer, which is free between two turns, holds both:
 *
 *   | the datagram, 64 KiB | the answer to one of its commands, ANSWER_MAX |
 *
 * Each command's answer is a message of its own, numbered 0 to n - 1 of n, and has to be
 * whole before its first datagram can be sent, since that says how many there are. What the
 * socket does not take is dropped: a client of UDP has to expect that, and nothing here
 * waits or grows for it.
 *
 * Against being used as a weapon, since senders of datagrams can lie about who they are:
 *
 *   - The answers to a datagram are bounded by its length (frame.h, -o udp_amplification).
 *     What does not fit becomes a short error, and the rest of the datagram is not run.
 *   - What is no command is not answered. An answer always begins with something that is no
 *     command, so two servers, or one and itself, can't be made to answer each other for
 *     ever.
 *   - What was sent to many (broadcast, multicast) is not run.
 *   - A datagram's work is bounded, and so are the datagrams of one turn.
 */
#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/assert.h"
#include "net/frame.h"
#include "net/inside.h"

#define REQUEST_MAX 65536u
#define ANSWER_MAX  (WORKER_INPUT - REQUEST_MAX)
#define BATCH       32     /* datagrams of a socket in one turn of its worker ... */
#define BATCH_BYTES 65536u /* ... fewer if they are large */
#define IDLE_ROUNDS 16     /* calls of took() that neither take nor give anything */

_Static_assert(WORKER_INPUT > REQUEST_MAX, "the input buffer holds both");
/* frame_write() never needs more datagrams than it can count. */
_Static_assert(ANSWER_MAX / FRAME_PAYLOAD < UINT16_MAX, "datagrams can be counted");

/* A datagram that is being answered. */
struct exchange {
    struct udp_socket *socket;
    struct worker *worker;
    void *session;
    uint16_t id;
    struct frame_allowance allowance;
    char *answer; /* ANSWER_MAX bytes */
    size_t used;
    bool over;   /* the answer is longer than may be sent */
    bool hung_up; /* nothing behind this command is run */

    struct sockaddr_storage from;
    socklen_t from_len;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 64];
    size_t control_len;
};

/* ---- Output ---------------------------------------------------------------------------- */

static void
append(struct exchange *exchange, const char *data, size_t len)
{
    if (len > ANSWER_MAX - exchange->used)
        exchange->over = true;
    if (exchange->over || len == 0)
        return;
    memcpy(exchange->answer + exchange->used, data, len);
    exchange->used += len;
    if (!frame_fits(&exchange->allowance, exchange->used))
        exchange->over = true;
}

/* Moves what is in the outbox to the answer and gives pins back. */
static void
collect(struct exchange *exchange)
{
    struct worker *worker = exchange->worker;
    const struct pin_release *pins = &worker->spaces[exchange->socket->space].pins;
    struct outbox *out = &worker->outbox;
    uint32_t at = 0;

    for (uint32_t i = 0; i < out->nrefs; i++) {
        const struct out_ref *ref = &out->refs[i];
        append(exchange, out->bytes + at, ref->at - at);
        append(exchange, ref->data, ref->len);
        at = ref->at;
        if (ref->pin != NULL)
            pins->release(pins->lane, ref->pin);
    }
    append(exchange, out->bytes + at, out->used - at);
    out->used = 0;
    out->nrefs = 0;
}

static bool
send_one(struct exchange *exchange, const char *header, const char *data, size_t len)
{
    struct iovec iov[2] = { { (char *)(uintptr_t)header, FRAME_HEADER },
        { (char *)(uintptr_t)data, len } };
    struct msghdr message = {
        .msg_name = &exchange->from,
        .msg_namelen = exchange->from_len,
        .msg_iov = iov,
        .msg_iovlen = 2,
        .msg_control = exchange->control_len > 0 ? exchange->control : NULL,
        .msg_controllen = exchange->control_len,
    };
    struct counters *counters = &exchange->worker->counters;
    ssize_t sent;

    do
        sent = sendmsg(exchange->socket->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return false;
    counter_add(&counters->bytes_written, (uint64_t)sent);
    return true;
}

/* Without its first part a message is worth nothing, nor without any other: what follows
 * one that was not taken is not tried. */
static void
send_answer(struct exchange *exchange)
{
    unsigned count = frame_count(exchange->used);
    char header[FRAME_HEADER];

    frame_spend(&exchange->allowance, exchange->used);
    /* Before anybody can see them. */
    counter_add(&exchange->worker->counters.udp_replies, count);
    for (unsigned i = 0; i < count; i++) {
        size_t at = (size_t)i * FRAME_PAYLOAD, left = exchange->used - at;
        frame_write(header, exchange->id, i, count);
        if (!send_one(exchange, header, exchange->answer + at,
                left < FRAME_PAYLOAD ? left : FRAME_PAYLOAD)) {
            counter_add(&exchange->worker->counters.udp_drops, count - i);
            return;
        }
    }
}

/* In place of an answer that may not be sent. */
static void
send_refusal(struct exchange *exchange)
{
    struct worker *worker = exchange->worker;

    counter_add(&worker->counters.udp_limited, 1);
    exchange->used = 0;
    exchange->over = false;
    worker->service->too_long(exchange->session, &worker->outbox);
    collect(exchange);
    if (exchange->used > 0 && !exchange->over)
        send_answer(exchange);
}

/* ---- Running --------------------------------------------------------------------------- */

/* Between two commands? Everything else is the middle of one. */
static bool
at_rest(const struct exchange *exchange)
{
    return exchange->worker->service->state(exchange->session) == CONN_WAITING;
}

/* Runs one command from *data_ref, which moves on, and collects its answer. True: another
 * may follow. */
static bool
run_command(struct exchange *exchange, char **data_ref, size_t *len_ref)
{
    const struct service *service = exchange->worker->service;
    struct outbox *out = &exchange->worker->outbox;
    enum service_next next;
    int idle = 0;

    exchange->used = 0;
    do {
        size_t used = 0;
        next = service->took(exchange->session, *data_ref, *len_ref, 1, &used, out);
        assert(used <= *len_ref);
        *data_ref += used;
        *len_ref -= used;
        idle += used == 0 && outbox_empty(out);
        collect(exchange);
        if (next == SERVICE_WAIT || idle == IDLE_ROUNDS)
            exchange->over = true;
        if (exchange->over || (next != SERVICE_AGAIN && next != SERVICE_DRAIN))
            break;
    } while (!at_rest(exchange));
    exchange->hung_up = next == SERVICE_CLOSE;
    return !exchange->over && (next == SERVICE_AGAIN || next == SERVICE_DRAIN);
}

/* Every datagram's requests are looked at from a clean start: what one client leaves
 * unfinished can't become part of what another sends. */
static void
run_datagram(struct exchange *exchange, char *data, size_t len)
{
    struct worker *worker = exchange->worker;
    const struct service *service = worker->service;
    bool more;

    memset(worker->datagram, 0, service->session_size);
    exchange->session = service->open(
        worker->spaces[exchange->socket->space].lane, &exchange->socket->peer);
    if (exchange->session == NULL) {
        counter_add(&worker->counters.udp_drops, 1);
        return;
    }
    assert(outbox_empty(&worker->outbox));
    do {
        more = run_command(exchange, &data, &len);
        if (exchange->over) {
            send_refusal(exchange);
            service->close(exchange->session);
            return;
        }
        if (exchange->used > 0)
            send_answer(exchange);
    } while (more);
    bool whole = len == 0 && at_rest(exchange) && !exchange->hung_up;
    if (!whole)
        counter_add(&worker->counters.udp_malformed, 1);
    service->close(exchange->session);
}

/* ---- Input ----------------------------------------------------------------------------- */

/* The answer comes from the address that was asked, also where the socket has all of the
 * machine's. False: it was an address of many. */
static bool
keep_own_address(struct exchange *exchange, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        struct in_pktinfo info;
        if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info6;
            memcpy(&info6, CMSG_DATA(part), sizeof info6);
            exchange->control_len = message->msg_controllen;
            return !IN6_IS_ADDR_MULTICAST(&info6.ipi6_addr);
        }
        if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO)
            continue;
        memcpy(&info, CMSG_DATA(part), sizeof info);
        if (info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr)
            return false;
        info.ipi_ifindex = 0; /* any way that leads there */
        memcpy(CMSG_DATA(part), &info, sizeof info);
        exchange->control_len = message->msg_controllen;
        return true;
    }
    return true;
}

/* Returns what it cost, in bytes and more than 0; 0: none is waiting. */
static size_t
take_datagram(struct udp_socket *socket)
{
    struct worker *worker = socket->worker;
    struct counters *counters = &worker->counters;
    struct exchange exchange = { .socket = socket, .worker = worker,
        .answer = worker->input + REQUEST_MAX };
    struct iovec iov = { worker->input, REQUEST_MAX };
    struct msghdr message = { .msg_name = &exchange.from,
        .msg_namelen = sizeof exchange.from, .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = exchange.control,
        .msg_controllen = sizeof exchange.control };
    ssize_t got = recvmsg(socket->fd, &message, MSG_DONTWAIT);

    if (got < 0)
        return errno == EINTR ? 1 : 0;
    size_t len = (size_t)got;
    counter_add(&counters->udp_requests, 1);
    counter_add(&counters->bytes_read, len);
    exchange.from_len = message.msg_namelen;
    if (!keep_own_address(&exchange, &message) || (message.msg_flags & MSG_TRUNC) != 0 ||
        !frame_parse(worker->input, len, &exchange.id)) {
        counter_add(&counters->udp_malformed, 1);
        return len + 1;
    }
    frame_allow(&exchange.allowance, len,
        (uint32_t)worker->net->parts.options->udp_amplification, socket->overhead);
    if (exchange.allowance.bytes > ANSWER_MAX)
        exchange.allowance.bytes = ANSWER_MAX; /* of all its answers: work, too, is bounded */
    atomic_store_explicit(&socket->last_request, worker->now, memory_order_relaxed);
    run_datagram(&exchange, worker->input + FRAME_HEADER, len - FRAME_HEADER);
    return len;
}

void
udp_ready(int fd, short what, void *context)
{
    size_t bytes = 0, cost;

    (void)fd;
    (void)what;
    for (int i = 0; i < BATCH && bytes < BATCH_BYTES; i++) {
        cost = take_datagram(context);
        if (cost == 0)
            break;
        bytes += cost;
    }
}
