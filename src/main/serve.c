/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serve.c - where the layers are wired together.
 *
 * The order of start-up is memcached's: limits are raised while the rights for it are
 * there, then the user is changed, then the process detaches, and only then are memory
 * taken and sockets bound. What is made is unmade in the reverse order.
 *
 * Signals are blocked in all threads and read from a descriptor by this one, so that no
 * code runs inside a signal handler.
 */
#include "main/serve.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memlimit.h"
#include "base/service.h"
#include "cmd/session.h"
#include "http/reserve.h"
#include "main/auth.h"
#include "main/endpoint.h"
#include "main/handover.h"
#include "main/heartbeat.h"
#include "main/memory.h"
#include "main/notify.h"
#include "main/predecessor.h"
#include "main/process.h"
#include "main/reload.h"
#include "main/sandbox.h"
#include "main/slack.h"
#include "main/space.h"
#include "main/successor.h"
#include "main/upkeep.h"
#include "net/net.h"
#include "net/tls.h"

/* Descriptors besides those of clients: streams, logs, loops (5 a worker), listeners. */
#define FDS_BASE       80u
#define FDS_PER_WORKER 5u
/* What the index, connections and buffers take besides -m, roughly: one part in so many, and so
 * much in any case. */
#define OVERHEAD_SHARE 8
#define OVERHEAD_LEAST (UINT64_C(16) << 20)

/* How it ends. */
enum ending {
    END_STOP,    /* clients are sent away */
    END_MANAGER, /* all goes to the service manager, which starts the next server */
    END_PROCESS, /* all goes to the next server, which is ready */
};

struct server {
    struct options *options;
    struct predecessor predecessor;
    struct successor successor;
    enum ending ending;
    bool served;  /* it has come so far */
    bool restart; /* the manager is to start the next server by itself */
    struct clock clock;
    struct spaces spaces; /* stores and all that belongs to them */
    struct upkeep *upkeep;
    struct auth *auth; /* NULL: anybody may speak */
    struct service service;
    struct event_base *base;
    struct event signals;
    int signal_fd;
    struct tls *tls; /* NULL: without -Z */
    struct net *net;
    struct endpoint endpoint; /* -o http */
    struct reload reload;
    struct heartbeat heartbeat;
    struct bound bound;
    char sandbox[SANDBOX_LAYERS_MAX]; /* what is in force */
};

/* ---- Signals ------------------------------------------------------------------------ */

/* What cannot be read again stays as it was; each says so itself. */
static void
reload(struct server *server)
{
    const struct reload_targets targets = { &server->spaces, server->net };
    char why[TLS_WHY_MAX], said[64];

    snprintf(said, sizeof said, "RELOADING=1\nMONOTONIC_USEC=%llu",
        (unsigned long long)clock_micros());
    notify_manager(said);
    /* Options that are wrong leave everything as it is, also what is in other files. */
    if (reload_options(&server->reload, &targets)) {
        if (server->auth != NULL)
            auth_reload(server->auth);
        if (server->tls != NULL)
            tls_refresh(server->tls, true, why);
        if (server->auth == NULL && server->tls == NULL &&
            server->options->config_file == NULL)
            log_line(LOG_NOTICE, "SIGHUP: nothing to read again");
    }
    notify_manager("READY=1");
}

static void
end(struct server *server, enum ending ending)
{
    server->ending = ending;
    event_base_loopbreak(server->base);
}

static void
on_successor(void *context)
{
    end(context, END_PROCESS);
}

/* Is there a manager to give everything to? */
static bool
has_manager(const struct server *server)
{
    return server->options->handover == HANDOVER_MANAGER && notify_is_possible();
}

/* Another server is to take the place of this one, which the service manager or nobody has
 * started yet. */
static void
make_way(struct server *server)
{
    if (server->options->handover == HANDOVER_MANAGER && !has_manager(server)) {
        log_line(LOG_ALWAYS, "SIGUSR2: -o handover=manager, but no service manager has "
            "started this server (NOTIFY_SOCKET)");
    } else if (has_manager(server)) {
        server->restart = true;
        end(server, END_MANAGER);
    } else {
        successor_call(&server->successor, server->base, on_successor, server);
    }
}

static void
on_signal(evutil_socket_t fd, short what, void *context)
{
    struct server *server = context;
    struct signalfd_siginfo info;

    (void)what;
    if (read(fd, &info, sizeof info) != sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGHUP:
        reload(server);
        return;
    case SIGUSR2:
        make_way(server);
        return;
    case SIGUSR1:
        log_line(LOG_ALWAYS, "Gracefully stopping");
        break;
    default:
        log_line(LOG_NOTICE, "Exiting normally");
        break;
    }
    /* Whether the manager wants to start it again it does not say. */
    bool kept = info.ssi_signo == SIGTERM && has_manager(server);
    end(server, kept ? END_MANAGER : END_STOP);
}

/* The key may belong to root, so this comes before the change of user. */
static int
read_certificates(struct server *server)
{
    char why[TLS_WHY_MAX];

    if (!server->options->tls)
        return 0;
    server->tls = tls_create(server->options, why);
    if (server->tls == NULL)
        fprintf(stderr, "%s\n", why);
    return server->tls == NULL ? STATUS_USAGE : 0;
}

/* Before any thread is started, so that all of them inherit it. */
static int
block_signals(struct server *server)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (server->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0) {
        perror("failed to prepare signals");
        return STATUS_OS;
    }
    return 0;
}

/* ---- Wiring ------------------------------------------------------------------------- */

/* Of --listener: a socket each, one more for each worker if datagrams are taken, and a
 * journal's for each namespace. */
static unsigned
fds_of_listeners(const struct options *options)
{
    unsigned each = options->udp_port != 0 ? 1 + (unsigned)options->threads : 1;

    return options->nlisteners * each + options->nspaces - 1;
}

static int
set_up_process(struct server *server)
{
    struct options *options = server->options;
    unsigned reserve = FDS_BASE + FDS_PER_WORKER * (unsigned)options->threads +
        (options->http != NULL ? ENDPOINT_FDS : 0) + fds_of_listeners(options);
    int status;

    log_set_verbosity(options->verbose);
    if ((status = read_certificates(server)) != 0 ||
        (status = process_allow_cores(options)) != 0 ||
        (status = process_allow_files(options, reserve)) != 0 ||
        (status = process_become_user(options)) != 0 ||
        (status = auth_open(options, &server->auth)) != 0)
        return status;
    if (options->handover == HANDOVER_PROCESS && server->predecessor.nactivated > 0) {
        fprintf(stderr, "-o handover=process: sockets of a service manager (LISTEN_FDS) go to "
            "the next server by -o handover=manager only\n");
        return STATUS_USAGE;
    }
    if (!net_check(options)) /* before a server makes room for us in vain */
        return STATUS_OS;
    /* Who is started by a server in the background is there already. */
    if (server->predecessor.socket < 0 && (status = process_detach(options)) != 0)
        return status;
    return successor_prepare(&server->successor, options);
}

/* Whoever runs into the limit of his control group is killed, with all that was cached. */
static void
warn_of_memory(const struct options *options)
{
    uint64_t items = options->memory_max + option_spaces_memory(options);
    uint64_t most = items + items / OVERHEAD_SHARE + OVERHEAD_LEAST;
    uint64_t limit = memlimit_here();

    if (options->memory_total > 0)
        most = options->memory_total;
    if (limit != 0 && most > limit)
        fprintf(stderr, "WARNING: -m: this machine or control group may use %llu MiB, which "
            "is less than %llu MiB and what comes on top; the kernel ends the server when "
            "they are used up\n", (unsigned long long)limit >> 20,
            (unsigned long long)items >> 20);
}

static int
make_stores(struct server *server)
{
    const struct options *options = server->options;
    int status;

    spaces_init(&server->spaces, options);
    server->spaces.clock = &server->clock;
    server->spaces.sandbox = server->sandbox;
    server->spaces.auth = server->auth;
    server->spaces.tls = server->tls;
    server->spaces.predecessor = &server->predecessor;
    if ((status = spaces_make_stores(&server->spaces)) != 0)
        return status;
    if (bound_open(&server->bound, options->memory_total, options->memory_max) != 0) {
        perror("--memory-total: /proc/self/statm");
        return STATUS_OS;
    }
    warn_of_memory(options);
    return 0;
}

static int
make_service(struct server *server)
{
    int status = server->auth == NULL ? 0 : auth_start(server->auth);

    if (status == 0)
        status = spaces_make_contexts(&server->spaces);
    cmd_service(&server->service);
    return status;
}

static void
take_socket(void *net, int fd, const void *bytes, size_t len)
{
    if (!net_take(net, fd, bytes, len))
        log_line(LOG_NOTICE, "handover: a socket of which too little is known was closed");
}

static void
tell_takeover(struct server *server, size_t sockets)
{
    struct spaces_sum sum;
    bool any = false;

    for (unsigned i = 0; i < server->spaces.n; i++)
        any = any || server->spaces.at[i].memory.taken_over;
    if (!any && sockets == 0)
        return;
    spaces_sum(&server->spaces, &sum);
    log_line(LOG_NOTICE, "took over %llu items and %zu sockets",
        (unsigned long long)sum.items, sockets);
}

static int
make_net(struct server *server)
{
    if (server->options->http != NULL)
        reserve_install();
    server->base = event_base_new();
    if (server->base == NULL ||
        event_assign(&server->signals, server->base, server->signal_fd,
            EV_READ | EV_PERSIST, on_signal, server) != 0 ||
        event_add(&server->signals, NULL) != 0) {
        fprintf(stderr, "failed to prepare the event loop\n");
        return STATUS_FAILURE;
    }
    struct net_parts parts = {
        .options = server->options,
        .clock = &server->clock,
        .service = &server->service,
        .spaces = server->spaces.of_net,
        .nspaces = server->spaces.n,
        .base = server->base,
        .tls = server->tls,
        .activated = server->predecessor.activated,
        .nactivated = server->predecessor.nactivated,
        .totals_before = &server->spaces.at[0].memory.note.totals,
        .counts_before = &server->spaces.at[0].memory.note.net_counts,
    };
    server->net = net_create(&parts);
    if (server->net == NULL) {
        fprintf(stderr, "failed to prepare the workers: %s\n", strerror(errno));
        return STATUS_FAILURE;
    }
    server->spaces.net = server->net;
    size_t taken =
        handover_open(&server->predecessor.baggage, take_socket, server->net);
    /* Where nothing of use has come, what the manager keeps is not to be in our way. */
    if (taken == 0)
        predecessor_done(&server->predecessor);
    int status = net_listen(server->net);
    if (status != 0)
        return status;
    tell_takeover(server, taken);
    return endpoint_open(
        &server->endpoint, server->options, &server->spaces, server->net);
}

/* Whatever is opened, read or removed from here on has to be named here. */
static int
confine(struct server *server)
{
    const struct options *options = server->options;
    struct sandbox_needs needs = {
        .mode = options->sandbox,
        .foreign_logins = server->auth != NULL && auth_is_foreign(server->auth),
        .lock_memory = options->lock_memory,
    };

    if (server->auth != NULL)
        sandbox_will_read(&needs, auth_path(server->auth));
    for (unsigned i = 0; server->tls != NULL && i < TLS_FILES_MAX; i++)
        sandbox_will_read(&needs, tls_file(server->tls, i));
    sandbox_will_read(&needs, options->config_file);
    sandbox_will_remove(&needs, options->unix_socket);
    for (unsigned i = 0; i < options->nlisteners; i++)
        sandbox_will_remove(&needs, option_listener_path(&options->listeners[i]));
    sandbox_will_remove(&needs, endpoint_path(&server->endpoint));
    if (options->daemonize)
        sandbox_will_remove(&needs, options->pid_file);
    return sandbox_enter(&needs, server->sandbox);
}

/* Threads have the confinement of the one that starts them. */
static int
start_threads(struct server *server)
{
    int status = server->auth == NULL ? 0 : auth_start_threads(server->auth);
    if (status != 0)
        return status;
    int error = spaces_start(&server->spaces);
    if (error != 0) {
        fprintf(stderr, "Can't create thread: %s\n", strerror(-error));
        return STATUS_FAILURE;
    }
    server->upkeep = upkeep_start(&server->spaces, &server->bound);
    if (server->upkeep == NULL) {
        fprintf(stderr, "Can't create thread: %s\n", strerror(errno));
        return STATUS_FAILURE;
    }
    error = net_start(server->net);
    if (error == 0)
        error = endpoint_start(&server->endpoint);
    if (error != 0) {
        fprintf(stderr, "Can't create thread: %s\n", strerror(-error));
        return STATUS_FAILURE;
    }
    error = heartbeat_start(
        &server->heartbeat, server->base, server->net, &server->spaces);
    if (error != 0) {
        fprintf(stderr, "failed to prepare the heartbeat: %s\n", strerror(-error));
        return STATUS_FAILURE;
    }
    return 0;
}

/* ---- The end -------------------------------------------------------------------------- */

/* What goes with the stores of the network. Nobody counts any more. */
static void
take_note(struct server *server, struct note *note)
{
    struct net_figures net;

    *note = (struct note){ .takeovers = 0 };
    clock_stamp(&server->clock, &note->stamp);
    net_counts(server->net, &note->net_counts);
    net_figures(server->net, &net);
    note->totals = (struct net_totals){ .total = net.total, .rejected = net.rejected,
        .pauses = net.listen_disabled, .paused_us = net.listen_disabled_us };
}

/* Everything that runs in the stores ends, and they go into their files. */
static void
leave_memory(struct server *server, struct baggage *baggage)
{
    struct note note;

    take_note(server, &note);
    upkeep_stop(server->upkeep);
    server->upkeep = NULL;
    spaces_leave(&server->spaces, &note, baggage);
}

/* Ends, and what was served here is served elsewhere. */
static void
hand_over(struct server *server)
{
    struct baggage baggage = { .bags = NULL };
    struct handover handover = { .baggage = &baggage };

    endpoint_close(&server->endpoint);
    heartbeat_stop(&server->heartbeat);
    net_leave(server->net, handover_put, &handover);
    leave_memory(server, &baggage);
    int error = handover_close(&handover);
    if (error == 0)
        error = server->ending == END_MANAGER
            ? notify_keep(&baggage)
            : successor_give(&server->successor, &baggage);
    if (error != 0)
        log_line(LOG_ALWAYS, "handover: %s", strerror(-error));
    baggage_fini(&baggage);
}

/* Ends, and sends the clients away. */
static void
stop(struct server *server)
{
    net_stop(server->net);
    if (server->options->memory_file != NULL)
        leave_memory(server, NULL);
}

static void
tear_down(struct server *server)
{
    endpoint_close(&server->endpoint); /* first: it looks at everything else */
    heartbeat_stop(&server->heartbeat);
    reload_fini(&server->reload);
    if (server->upkeep != NULL)
        upkeep_stop(server->upkeep);
    if (server->net != NULL)
        net_destroy(server->net);
    if (server->tls != NULL)
        tls_destroy(server->tls);
    successor_fini(&server->successor); /* has events of the base */
    if (server->base != NULL) {
        if (event_initialized(&server->signals))
            event_del(&server->signals);
        event_base_free(server->base);
    }
    if (server->auth != NULL)
        auth_close(server->auth);
    if (!server->served)
        spaces_give_back(&server->spaces);
    spaces_close(&server->spaces);
    predecessor_close(&server->predecessor);
    bound_close(&server->bound);
    if (server->signal_fd >= 0)
        close(server->signal_fd);
}

int
serve(struct options *options)
{
    struct server server = { .options = options, .signal_fd = -1, .bound = { .fd = -1 },
        .successor = { .launcher = -1, .link = -1 } };
    int status = STATUS_OS;

    slack_limit();
    reload_init(&server.reload, options);
    if (!predecessor_find(&server.predecessor) ||
        (status = block_signals(&server)) != 0 ||
        (status = set_up_process(&server)) != 0)
        goto out;
    int error = predecessor_receive(&server.predecessor);
    if (error == -ECANCELED) {
        log_line(LOG_ALWAYS, "handover: called off");
        status = STATUS_FAILURE;
        goto out;
    }
    if (error != 0)
        log_line(LOG_ALWAYS, "handover: the server before gave nothing: %s",
            strerror(-error));
    clock_start(&server.clock);
    if ((status = make_stores(&server)) != 0)
        goto out;
    /* Behind the stores: under a limit on locked memory, what is reserved after a lock on all
     * that is to come would be refused, and with it the start. */
    process_lock_memory(options);
    if ((status = make_service(&server)) != 0 || (status = make_net(&server)) != 0)
        goto out;
    process_write_pid(options, server.predecessor.socket >= 0);
    if ((status = confine(&server)) != 0 || (status = start_threads(&server)) != 0) {
        process_remove_pid(options);
        goto out;
    }
    server.served = true;
    predecessor_done(&server.predecessor);
    log_line(LOG_NOTICE, "%s %s serves, port %d, %d workers", PACKAGE_NAME,
        OPTIONS_VERSION, net_port(server.net), options->threads);
    notify_manager("READY=1");

    event_base_dispatch(server.base);

    notify_manager("STOPPING=1");
    if (server.ending == END_STOP)
        stop(&server);
    else
        hand_over(&server);
    if (server.ending != END_PROCESS)
        process_remove_pid(options);
    if (server.restart)
        status = STATUS_RESTART;
out:
    tear_down(&server);
    return status;
}
