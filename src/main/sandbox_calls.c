/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sandbox_calls.c - the layer of system calls: seccomp, by libseccomp.
 *
 * Three answers. What serving needs is done. What only somebody who has taken the process
 * over would try ends the process. All the rest fails with EPERM, so that a call which some
 * library makes one day costs that call and not the cache; -o sandbox=strict ends the
 * process for those too, which is how the tests know that the list is complete.
 *
 * Calls on the path of a request are listed without conditions on their arguments: the
 * kernel keeps a bitmap of those (Linux 5.11) and does not run the filter for them.
 *
 * Names and not numbers: a name that the machine does not have (open, on arm64) is left
 * out. Calls are listed that other versions of glibc or libevent use for the same thing.
 */
#include "main/sandbox.h"

#include <errno.h>

#include "config.h"

#ifndef HAVE_SECCOMP

int
sandbox_limit_calls(const struct sandbox_needs *needs)
{
    (void)needs;
    return -ENOTSUP;
}

#else

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
/* seccomp_api_get() from which "kill the process" and "log" are known: Linux 4.14. */
#define API_MIN 3u
/* More than libseccomp needs for all of this. */
#define ROOM (1u << 20)
/* Flags of open() that do more than read. */
#define OPEN_WRITES ((scmp_datum_t)(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))

static const char *const serving[] = {
    /* Clients. */
    "accept", "accept4", "close", "getpeername", "getsockname", "getsockopt", "read",
    "readv", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "write", "writev",
    /* Waiting. */
    "clock_nanosleep", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd2", "futex", "futex_waitv", "nanosleep", "pipe2", "poll",
    "ppoll", "pselect6", "restart_syscall", "select", "signalfd4", "timerfd_create",
    "timerfd_gettime", "timerfd_settime",
    /* Memory; mapping it: below. */
    "brk", "fallocate", "fdatasync", "madvise", "membarrier", "memfd_create", "mincore",
    "mlock", "mlock2", "mremap", "msync", "munlock", "munmap",
    /* What is open, or is asked of it. */
    "dup", "fstat", "fstatfs", "fstatfs64", "ftruncate", "lseek", "newfstatat", "pread64",
    "pwrite64", "statx",
    /* Threads, time, signals, and what is asked about oneself. */
    "clock_getres", "clock_gettime", "exit", "exit_group", "getcpu", "getegid", "geteuid",
    "getgid", "getpid", "getppid", "getrandom", "getrlimit", "getrusage", "gettid",
    "gettimeofday", "getuid", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sched_getaffinity",
    "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "sysinfo", "time",
    "times", "uname",
};

/* SASL's library on its own: databases, sockets of daemons, name services that are loaded
 * when the first name is looked up. */
static const char *const logins[] = {
    "access", "bind", "connect", "faccessat", "faccessat2", "fcntl", "flock", "fstatfs",
    "getcwd", "getdents64", "getresgid", "getresuid", "lstat", "mmap", "mprotect",
    "readlink", "readlinkat", "socket", "stat", "statfs", "umask",
};

static const char *const removing[] = { "unlink", "unlinkat" };

/* Other programs, other processes, the kernel, file systems, rights: nothing here has a
 * use for them, and a fault that is being exploited does. */
static const char *const deadly[] = {
    "execve", "execveat", "fork", "vfork",
    "kcmp", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "process_madvise",
    "process_vm_readv", "process_vm_writev", "ptrace",
    "bpf", "io_uring_enter", "io_uring_register", "io_uring_setup", "perf_event_open",
    "userfaultfd",
    "delete_module", "finit_module", "init_module", "ioperm", "iopl", "kexec_file_load",
    "kexec_load", "modify_ldt", "reboot", "swapoff", "swapon",
    "chroot", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr",
    "move_mount", "name_to_handle_at", "open_by_handle_at", "open_tree", "pivot_root",
    "setns", "umount2", "unshare",
    "add_key", "keyctl", "request_key",
    "acct", "quotactl", "setdomainname", "sethostname", "settimeofday", "clock_settime",
    "clock_adjtime", "adjtimex", "syslog",
    "setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid",
    "setreuid", "setuid", "capset",
};

struct filter {
    scmp_filter_ctx context;
    int error; /* the first */
};

static void
rule(struct filter *filter, uint32_t action, const char *name, unsigned n,
    const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);

    /* Below zero: not on this machine, or not known to this libseccomp. */
    if (filter->error != 0 || number < 0)
        return;
    int error = seccomp_rule_add_array(filter->context, action, number, n, conditions);
    if (error != 0 && error != -EACCES) /* -EACCES: it is the default action */
        filter->error = error;
}

static void
rules(struct filter *filter, uint32_t action, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rule(filter, action, names[i], 0, NULL);
}

/* Allowed if argument `at` is `value`, of the bits in `mask`. */
static void
allow_if(struct filter *filter, const char *name, unsigned at, scmp_datum_t mask,
    scmp_datum_t value)
{
    const struct scmp_arg_cmp condition = SCMP_CMP(at, SCMP_CMP_MASKED_EQ, mask, value);

    rule(filter, SCMP_ACT_ALLOW, name, 1, &condition);
}

#define WHOLE (~(scmp_datum_t)0)
#define INT32 ((scmp_datum_t)UINT32_MAX)

/* No memory is both written and run, and none is made to be run. */
static void
allow_memory(struct filter *filter)
{
    allow_if(filter, "mmap", 2, PROT_EXEC, 0);
    allow_if(filter, "mprotect", 2, PROT_EXEC, 0);
}

static void
allow_descriptors(struct filter *filter)
{
    static const int commands[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC };

    for (size_t i = 0; i < COUNT(commands); i++)
        allow_if(filter, "fcntl", 1, INT32, (scmp_datum_t)commands[i]);
    allow_if(filter, "ioctl", 1, INT32, FIONBIO);
    allow_if(filter, "ioctl", 1, INT32, FIONREAD);
    allow_if(filter, "ioctl", 1, INT32, TCGETS); /* stdio asks what stderr is */
    /* The service manager is told of the end, the next server is asked to start. */
    allow_if(filter, "socket", 0, INT32, AF_UNIX);
    allow_if(filter, "socketpair", 0, INT32, AF_UNIX);
}

/* Threads, not processes. clone3() hides its flags behind a pointer: glibc falls back to
 * clone() when there is no such call. */
static void
allow_threads(struct filter *filter)
{
    rule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
    allow_if(filter, "clone", 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM);
    allow_if(filter, "prctl", 0, INT32, PR_SET_NAME);
    allow_if(filter, "prctl", 0, INT32, PR_GET_NAME);
    /* Reading a limit, of oneself. */
    const struct scmp_arg_cmp reads[] = { SCMP_CMP(0, SCMP_CMP_EQ, 0, 0),
        SCMP_CMP(2, SCMP_CMP_EQ, 0, 0) };
    rule(filter, SCMP_ACT_ALLOW, "prlimit64", COUNT(reads), reads);
}

/* To oneself: `shutdown`, abort(). */
static void
allow_signals(struct filter *filter)
{
    allow_if(filter, "kill", 0, INT32, (scmp_datum_t)getpid());
    allow_if(filter, "tgkill", 0, INT32, (scmp_datum_t)getpid());
}

/* Where nothing is read again glibc may still look for things, as malloc() does when it
 * gives memory back: that must be refused and must not kill. */
static void
allow_files(struct filter *filter, const struct sandbox_needs *needs)
{
    if (needs->nread > 0 || needs->foreign_logins) {
        allow_if(filter, "open", 1, OPEN_WRITES, 0);
        allow_if(filter, "openat", 2, OPEN_WRITES, 0);
    } else if (needs->mode != SANDBOX_LOG) {
        rule(filter, SCMP_ACT_ERRNO(EACCES), "open", 0, NULL);
        rule(filter, SCMP_ACT_ERRNO(EACCES), "openat", 0, NULL);
    }
    if (needs->nremoved > 0)
        rules(filter, SCMP_ACT_ALLOW, removing, COUNT(removing));
}

static void
fill(struct filter *filter, const struct sandbox_needs *needs)
{
    rules(filter, SCMP_ACT_ALLOW, serving, COUNT(serving));
    if (needs->mode != SANDBOX_LOG)
        rules(filter, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
    allow_signals(filter);
    allow_threads(filter);
    allow_files(filter, needs);
    if (needs->foreign_logins)
        rules(filter, SCMP_ACT_ALLOW, logins, COUNT(logins));
    allow_memory(filter);
    allow_descriptors(filter);
}

static uint32_t
otherwise(enum sandbox_mode mode)
{
    switch (mode) {
    case SANDBOX_STRICT:
        return SCMP_ACT_KILL_PROCESS;
    case SANDBOX_LOG:
        return SCMP_ACT_LOG;
    case SANDBOX_OFF:
    case SANDBOX_ON:
        break;
    }
    return SCMP_ACT_ERRNO(EPERM);
}

/* The filter does not slow down speculation: there is no foreign code in here. */
static int
set_attributes(scmp_filter_ctx context)
{
    int error = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);

    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_CTL_SSB, 1);
    if (error == 0)
        error = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return error;
}

/* libseccomp (2.5) does not survive a malloc() that fails: it may free twice, or load a
 * filter that lacks calls. So what it will need is asked for first. */
static bool
there_is_room(void)
{
    void *volatile room = malloc(ROOM);
    bool there = room != NULL;

    free(room);
    return there;
}

int
sandbox_limit_calls(const struct sandbox_needs *needs)
{
    struct filter filter = { .error = 0 };

    if (seccomp_api_get() < API_MIN)
        return -ENOSYS;
    if (!there_is_room())
        return -ENOMEM;
    filter.context = seccomp_init(otherwise(needs->mode));
    if (filter.context == NULL)
        return -ENOMEM;
    filter.error = set_attributes(filter.context);
    fill(&filter, needs);
    if (filter.error == 0)
        filter.error = seccomp_load(filter.context);
    seccomp_release(filter.context);
    return filter.error;
}

#endif
