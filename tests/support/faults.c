/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faults.c - a library for LD_PRELOAD that makes calls fail on command; for tests only.
 *
 * It stands between the server, with all its libraries, and the C library. A file that the
 * test has mapped as well (FAULTS_FILE) holds a rule for each class of calls: fail the
 * `first` call from now on, then every `every`-th, `left` times in all, in the way `how`.
 * It also holds what is added to clocks, and a call that the next recv() is to make first, as
 * somebody would who has taken the server over. The test may change rules while the server
 * runs, and reads there how many calls were seen and how many failed. tests/wire/faults.py is
 * the other side of it.
 *
 * Failures are such as Linux does produce: an eventfd is never short, epoll_ctl() fails for
 * want of memory, a send() may be cut, and so on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* In the order of faults.py. */
enum class {
    MEMORY,  /* malloc() and its kin */
    MAP,     /* mmap(), memfd_create(), ftruncate(), fallocate(), mprotect(), madvise() */
    THREAD,  /* pthread_create() */
    FILES,   /* socket(), eventfd(), epoll_create1(), signalfd() */
    RECEIVE, /* recv(), recvmsg(), readv(), and read() of sockets */
    SEND,    /* send(), sendto(), sendmsg(), writev(), and write() of sockets */
    ACCEPT,  /* accept4() */
    WAIT,    /* epoll_wait() */
    WATCH,   /* epoll_ctl() but for removing */
    WAKE,    /* read() and write() of what is no socket */
    SETUP,   /* bind(), listen(), getsockname(), getrandom() */
    CLASSES
};

#define HOW_SHORT 1000u /* as if less had come, or gone, than asked for: one byte */

struct rule {
    _Atomic uint64_t seen, failed;
    _Atomic uint64_t first, every; /* counted by `seen`; every 0: once */
    _Atomic uint64_t left;         /* 0: the rule is off */
    _Atomic uint64_t how;          /* an errno, or HOW_SHORT */
};

struct sheet {
    struct rule rules[CLASSES];
    _Atomic int64_t add_realtime, add_boottime; /* seconds */
    _Atomic int64_t intrusion; /* an index of intrusions[] plus 1; 0: none */
    _Atomic int64_t outcome;   /* of the last one: an errno, 0, or OUTCOME_NONE yet */
};

#define OUTCOME_NONE (-1)

static struct sheet *sheet;

static void __attribute__((constructor))
faults_start(void)
{
    const char *path = getenv("FAULTS_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *sheet, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        sheet = at;
}

/* Inside functions of libraries that do not survive what happens here; see below. */
static __thread unsigned sheltered;

/* How this call is to fail; 0: not at all. */
static unsigned
fault(enum class class)
{
    if (sheet == NULL || sheltered > 0)
        return 0;
    struct rule *rule = &sheet->rules[class];
    uint64_t n = atomic_fetch_add(&rule->seen, 1) + 1;
    uint64_t first = atomic_load(&rule->first), every = atomic_load(&rule->every);
    uint64_t left = atomic_load(&rule->left);

    if (left == 0 || n < first || (every == 0 ? n != first : (n - first) % every != 0))
        return 0;
    while (!atomic_compare_exchange_weak(&rule->left, &left, left - 1))
        if (left == 0)
            return 0;
    atomic_fetch_add(&rule->failed, 1);
    return (unsigned)atomic_load(&rule->how);
}

/* Finds the function that we stand before, once for each. */
#define NEXT(name)                                                                        \
    static __typeof__(name) *next_##name;                                                 \
    if (next_##name == NULL)                                                              \
        *(void **)&next_##name = dlsym(RTLD_NEXT, #name)

/* For calls that return -1. */
#define FAIL(class)                                                                       \
    do {                                                                                  \
        unsigned how_ = fault(class);                                                     \
        if (how_ != 0) {                                                                  \
            errno = (int)how_;                                                            \
            return -1;                                                                    \
        }                                                                                 \
    } while (0)

/* ---- Memory -------------------------------------------------------------------------- */

#ifndef FAULTS_WITHOUT_MEMORY

static bool
no_memory(void)
{
    if (fault(MEMORY) == 0)
        return false;
    errno = ENOMEM;
    return true;
}

/* The C library's own, since dlsym() itself may want memory. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *
malloc(size_t size)
{
    return no_memory() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
    return no_memory() ? NULL : __libc_realloc(old, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    return no_memory() ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **to, size_t alignment, size_t size)
{
    void *at = no_memory() ? NULL : __libc_memalign(alignment, size);

    if (at == NULL)
        return ENOMEM;
    *to = at;
    return 0;
}

#endif

void *
mmap(void *at, size_t len, int rights, int flags, int fd, off_t offset)
{
    NEXT(mmap);
    unsigned how = fault(MAP);

    if (how != 0) {
        errno = (int)how;
        return MAP_FAILED;
    }
    return next_mmap(at, len, rights, flags, fd, offset);
}

int
memfd_create(const char *name, unsigned flags)
{
    NEXT(memfd_create);
    FAIL(MAP);
    return next_memfd_create(name, flags);
}

int
ftruncate(int fd, off_t len)
{
    NEXT(ftruncate);
    FAIL(MAP);
    return next_ftruncate(fd, len);
}

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
    NEXT(fallocate);
    FAIL(MAP);
    return next_fallocate(fd, mode, offset, len);
}

int
mprotect(void *at, size_t len, int rights)
{
    NEXT(mprotect);
    FAIL(MAP);
    return next_mprotect(at, len, rights);
}

int
madvise(void *at, size_t len, int advice)
{
    NEXT(madvise);
    FAIL(MAP);
    return next_madvise(at, len, advice);
}

/* ---- Threads and descriptors --------------------------------------------------------- */

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
    void *argument)
{
    NEXT(pthread_create);
    unsigned how = fault(THREAD);

    return how != 0 ? (int)how : next_pthread_create(thread, attributes, run, argument);
}

int
socket(int domain, int type, int protocol)
{
    NEXT(socket);
    FAIL(FILES);
    return next_socket(domain, type, protocol);
}

int
eventfd(unsigned count, int flags)
{
    NEXT(eventfd);
    FAIL(FILES);
    return next_eventfd(count, flags);
}

int
epoll_create1(int flags)
{
    NEXT(epoll_create1);
    FAIL(FILES);
    return next_epoll_create1(flags);
}

int
signalfd(int fd, const sigset_t *set, int flags)
{
    NEXT(signalfd);
    FAIL(FILES);
    return next_signalfd(fd, set, flags);
}

int
bind(int fd, const struct sockaddr *name, socklen_t len)
{
    NEXT(bind);
    FAIL(SETUP);
    return next_bind(fd, name, len);
}

int
listen(int fd, int backlog)
{
    NEXT(listen);
    FAIL(SETUP);
    return next_listen(fd, backlog);
}

ssize_t
getrandom(void *to, size_t len, unsigned flags)
{
    NEXT(getrandom);
    FAIL(SETUP);
    return next_getrandom(to, len, flags);
}

int
getsockname(int fd, struct sockaddr *restrict name, socklen_t *restrict len)
{
    NEXT(getsockname);
    FAIL(SETUP);
    return next_getsockname(fd, name, len);
}

/* ---- Input and output ---------------------------------------------------------------- */

/*
 * What the server has no use for, with arguments that do no harm where it is allowed. In the
 * order of faults.py.
 */
static const struct {
    long number, arguments[6];
} intrusions[] = {
    { SYS_execve, { 0 } },
    { SYS_ptrace, { -1 } },
    { SYS_process_vm_readv, { 0 } },
    { SYS_bpf, { -1 } },
    { SYS_mount, { 0 } },
    { SYS_setuid, { -1 } },
    { SYS_unshare, { 0 } },
    { SYS_clone, { SIGCHLD | CLONE_THREAD } }, /* which is wrong without CLONE_SIGHAND */
    { SYS_socket, { AF_INET, SOCK_STREAM } },
    { SYS_connect, { -1 } },
    { SYS_bind, { -1 } },
    { SYS_kill, { 1 } },
    { SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
    { SYS_prctl, { -1 } },
    { SYS_getdents64, { -1 } },
    { SYS_openat, { AT_FDCWD, (long)(uintptr_t)"/etc/passwd", O_RDONLY } },
};

static void
intrude(void)
{
    int64_t which = sheet == NULL ? 0 : atomic_exchange(&sheet->intrusion, 0);

    if (which <= 0 || (size_t)which > sizeof intrusions / sizeof *intrusions)
        return;
    const long *with = intrusions[which - 1].arguments;
    long result = syscall(intrusions[which - 1].number, with[0], with[1], with[2], with[3],
        with[4], with[5]);
    atomic_store(&sheet->outcome, result == -1 ? errno : 0);
}

static bool
is_socket(int fd)
{
    int type;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

/* One byte of the first place that has any, or all if there is none. */
static int
shorten(const struct iovec *from, int n, struct iovec *to)
{
    for (int i = 0; i < n; i++)
        if (from[i].iov_len > 0) {
            *to = (struct iovec){ from[i].iov_base, 1 };
            return 1;
        }
    return 0;
}

ssize_t
recv(int fd, void *to, size_t len, int flags)
{
    NEXT(recv);
    intrude();
    unsigned how = fault(RECEIVE);

    if (how == HOW_SHORT)
        return next_recv(fd, to, len > 1 ? 1 : len, flags);
    if (how != 0) {
        errno = (int)how;
        return -1;
    }
    return next_recv(fd, to, len, flags);
}

ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
    NEXT(recvmsg);
    unsigned how = fault(RECEIVE);

    if (how != 0 && how != HOW_SHORT) { /* a datagram comes whole */
        errno = (int)how;
        return -1;
    }
    return next_recvmsg(fd, message, flags);
}

ssize_t
readv(int fd, const struct iovec *iov, int n)
{
    NEXT(readv);
    struct iovec one;
    unsigned how = fault(RECEIVE);

    if (how == HOW_SHORT && shorten(iov, n, &one) == 1)
        return next_readv(fd, &one, 1);
    if (how != 0) {
        errno = (int)how;
        return -1;
    }
    return next_readv(fd, iov, n);
}

ssize_t
read(int fd, void *to, size_t len)
{
    NEXT(read);
    bool data = is_socket(fd);
    unsigned how = fault(data ? RECEIVE : WAKE);

    if (how == HOW_SHORT)
        return next_read(fd, to, data && len > 1 ? 1 : len);
    if (how != 0) {
        errno = (int)how;
        return -1;
    }
    return next_read(fd, to, len);
}

ssize_t
send(int fd, const void *from, size_t len, int flags)
{
    NEXT(send);
    unsigned how = fault(SEND);

    if (how == HOW_SHORT)
        return next_send(fd, from, len > 1 ? 1 : len, flags);
    if (how != 0) {
        errno = (int)how;
        return -1;
    }
    return next_send(fd, from, len, flags);
}

ssize_t
sendto(int fd, const void *from, size_t len, int flags, const struct sockaddr *to,
    socklen_t to_len)
{
    NEXT(sendto);
    unsigned how = fault(SEND);

    if (how != 0 && how != HOW_SHORT) {
        errno = (int)how;
        return -1;
    }
    return next_sendto(fd, from, len, flags, to, to_len);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg);
    struct msghdr less = *message;
    struct iovec one;
    unsigned how = fault(SEND);

    if (how == HOW_SHORT && message->msg_name == NULL &&
        shorten(message->msg_iov, (int)message->msg_iovlen, &one) == 1) {
        less.msg_iov = &one;
        less.msg_iovlen = 1;
        return next_sendmsg(fd, &less, flags);
    }
    if (how != 0 && how != HOW_SHORT) {
        errno = (int)how;
        return -1;
    }
    return next_sendmsg(fd, message, flags);
}

ssize_t
write(int fd, const void *from, size_t len)
{
    NEXT(write);
    bool data = is_socket(fd);
    unsigned how = fault(data ? SEND : WAKE);

    if (how == HOW_SHORT)
        return next_write(fd, from, data && len > 1 ? 1 : len);
    /* An eventfd refuses only what would overflow it: that is, never. */
    if (how != 0 && (data || how != EAGAIN)) {
        errno = (int)how;
        return -1;
    }
    return next_write(fd, from, len);
}

int
accept4(int fd, struct sockaddr *restrict name, socklen_t *restrict len, int flags)
{
    NEXT(accept4);
    FAIL(ACCEPT);
    return next_accept4(fd, name, len, flags);
}

int
epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    NEXT(epoll_wait);
    FAIL(WAIT);
    return next_epoll_wait(fd, events, n, timeout);
}

int
epoll_ctl(int fd, int what, int of, struct epoll_event *event)
{
    NEXT(epoll_ctl);
    if (what != EPOLL_CTL_DEL)
        FAIL(WATCH);
    return next_epoll_ctl(fd, what, of, event);
}

/* ---- Libraries -----------------------------------------------------------------------
 *
 * glibc 2.36 asserts or reads through NULL when malloc() fails while it looks up a user, and
 * libseccomp 2.5 frees twice or makes a filter that lacks calls. Both are called at the start
 * only, and are left in peace. */

struct passwd *
getpwnam(const char *name)
{
    NEXT(getpwnam);
    sheltered++;
    struct passwd *user = next_getpwnam(name);
    sheltered--;
    return user;
}

#define SHELTERED(type, name, parameters, arguments)                                      \
    type name parameters                                                                  \
    {                                                                                     \
        NEXT(name);                                                                       \
        sheltered++;                                                                      \
        type result_ = next_##name arguments;                                             \
        sheltered--;                                                                      \
        return result_;                                                                   \
    }

void *seccomp_init(uint32_t action);
int seccomp_attr_set(void *filter, int attribute, uint32_t value);
int seccomp_rule_add_array(
    void *filter, uint32_t action, int call, unsigned n, const void *conditions);
int seccomp_syscall_resolve_name(const char *name);
int seccomp_load(const void *filter);
void seccomp_release(void *filter);

SHELTERED(void *, seccomp_init, (uint32_t action), (action))
SHELTERED(int, seccomp_attr_set, (void *filter, int attribute, uint32_t value),
    (filter, attribute, value))
SHELTERED(int, seccomp_rule_add_array,
    (void *filter, uint32_t action, int call, unsigned n, const void *conditions),
    (filter, action, call, n, conditions))
SHELTERED(int, seccomp_syscall_resolve_name, (const char *name), (name))
SHELTERED(int, seccomp_load, (const void *filter), (filter))

void
seccomp_release(void *filter)
{
    NEXT(seccomp_release);
    sheltered++;
    next_seccomp_release(filter);
    sheltered--;
}

/* ---- Clocks -------------------------------------------------------------------------- */

static int64_t
added(clockid_t id)
{
    if (sheet == NULL)
        return 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        return atomic_load(&sheet->add_realtime);
    return id == CLOCK_BOOTTIME ? atomic_load(&sheet->add_boottime) : 0;
}

int
clock_gettime(clockid_t id, struct timespec *to)
{
    NEXT(clock_gettime);
    int rc = next_clock_gettime(id, to);

    if (rc == 0)
        to->tv_sec += (time_t)added(id);
    return rc;
}

int
gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    NEXT(gettimeofday);
    int rc = next_gettimeofday(to, zone);

    if (rc == 0)
        to->tv_sec += (time_t)added(CLOCK_REALTIME);
    return rc;
}

time_t
time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (to != NULL)
        *to = now.tv_sec;
    return now.tv_sec;
}
