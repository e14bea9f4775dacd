/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_sandbox.c - the confinement: what it forbids and what it leaves.
 *
 * What it protects: somebody who has made the server run code of theirs can't start a
 * program, read other files, look into other processes or speak on raw sockets; and what
 * serving needs still works. Each case is a process of its own, which enters the sandbox,
 * tries one thing and tells by its exit status.
 */
#include "main/sandbox.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKS 0
#define BROKEN 120 /* the sandbox could not be entered */

/* A directory with a file that may be read again and one elsewhere that may not. */
static char folder[] = "/tmp/larder-sandbox-XXXXXX";
static char inside[64], outside[64], socket_path[64];

/* What a trial returns is the exit status: WORKS, or an errno. */
typedef int (*trial_fn)(void);

static int
said(bool works)
{
    return works ? WORKS : errno;
}

static int
try_execve(void)
{
    char *const arguments[] = { (char *)"/bin/true", NULL };

    return said(execve("/bin/true", arguments, NULL) == 0);
}

static int
try_fork(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return said(child > 0);
}

static int
try_ptrace(void)
{
    return said(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static int
try_vm_read(void)
{
    return said(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) == 0);
}

static int
try_bpf(void)
{
    return said(syscall(SYS_bpf, 0, NULL, 0) == 0);
}

static int
try_mount(void)
{
    return said(syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL) == 0);
}

static int
try_io_uring(void)
{
    return said(syscall(SYS_io_uring_setup, 1, NULL) == 0);
}

static int
try_setuid(void)
{
    return said(setuid(0) == 0);
}

static int
try_packet_socket(void)
{
    return said(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
}

static int
try_outgoing_socket(void)
{
    return said(socket(AF_INET, SOCK_STREAM, 0) >= 0);
}

static int
try_shadow(void)
{
    return said(open("/etc/shadow", O_RDONLY) >= 0);
}

static int
try_passwd(void)
{
    return said(open("/etc/passwd", O_RDONLY) >= 0);
}

static int
try_inside(void)
{
    return said(open(inside, O_RDONLY) >= 0);
}

static int
try_writing_inside(void)
{
    return said(open(inside, O_WRONLY) >= 0);
}

static int
try_creating_inside(void)
{
    return said(openat(AT_FDCWD, inside, O_CREAT | O_RDONLY, 0600) >= 0);
}

static int
try_removing_socket(void)
{
    return said(unlink(socket_path) == 0);
}

static int
try_connecting(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(name.sun_path, socket_path, sizeof socket_path);
    return said(fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
}

static int
try_code(void)
{
    return said(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static int
try_code_later(void)
{
    void *page = mmap(
        NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return said(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
}

static int
try_signal_to_parent(void)
{
    return said(kill(getppid(), 0) == 0);
}

static int
try_raising_limits(void)
{
    struct rlimit limit = { 16, 16 };

    return said(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static int
try_unforeseen(void)
{
    return said(syscall(SYS_sync) == 0);
}

static int
try_privileges(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &head, data) != 0)
        return errno;
    return (data[0].permitted | data[1].permitted | data[0].effective) == 0 ? WORKS : 1;
}

static void *
add_one(void *number)
{
    pthread_setname_np(pthread_self(), "adder");
    *(int *)number += 1;
    return malloc(1 << 20);
}

/* Threads, memory, sockets that are open, polling, a signal to oneself. */
static int
try_serving(void)
{
    pthread_t threads[4];
    int ends[2], number = 0;
    char byte = 'x';
    int poll_fd = epoll_create1(EPOLL_CLOEXEC), wake = eventfd(0, EFD_NONBLOCK);
    struct epoll_event event = { .events = EPOLLIN };

    for (int i = 0; i < 4; i++) {
        void *block = NULL;
        if (pthread_create(&threads[i], NULL, add_one, &number) != 0)
            return 100;
        pthread_join(threads[i], &block);
        free(block);
    }
    if (number != 4 || poll_fd < 0 || wake < 0)
        return 101;
    ends[0] = dup(wake);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, ends[0], &event) != 0 ||
        write(wake, "\1\0\0\0\0\0\0\0", 8) != 8 || epoll_wait(poll_fd, &event, 1, 0) != 1)
        return 102;
    void *large = malloc(64u << 20);
    if (large == NULL)
        return 103;
    memset(large, byte, 64u << 20);
    free(large);
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 && kill(getpid(), 0) == 0 ? WORKS : 104;
}

/* Enters by `needs`, in a process of its own; what the trial says, or minus the signal
 * that ended it. */
static int
run(const struct sandbox_needs *needs, trial_fn trial)
{
    char layers[SANDBOX_LAYERS_MAX];
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (sandbox_enter(needs, layers) != 0)
            _exit(BROKEN);
        _exit(trial());
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
enter_and_tell(const struct sandbox_needs *needs, char layers[static SANDBOX_LAYERS_MAX])
{
    int ends[2], status;

    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char text[SANDBOX_LAYERS_MAX] = "";
        int said_status = sandbox_enter(needs, text);
        if (write(ends[1], text, sizeof text) != (ssize_t)sizeof text)
            _exit(BROKEN);
        _exit(said_status);
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], layers, SANDBOX_LAYERS_MAX), SANDBOX_LAYERS_MAX);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool
has_layer(const char *name)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };
    char layers[SANDBOX_LAYERS_MAX];

    ck_assert_int_eq(enter_and_tell(&needs, layers), 0);
    return strstr(layers, name) != NULL;
}

static void
make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
}

static void
set_up(void)
{
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(inside, sizeof inside, "%s/read/passwords", folder);
    snprintf(outside, sizeof outside, "%s/other", folder);
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    *strrchr(inside, '/') = '\0';
    ck_assert_int_eq(mkdir(inside, 0700), 0);
    inside[strlen(inside)] = '/';
    make_file(inside);
    make_file(outside);
    make_file(socket_path);
}

static void
tear_down(void)
{
    unlink(inside);
    *strrchr(inside, '/') = '\0';
    rmdir(inside);
    unlink(outside);
    unlink(socket_path);
    ck_assert_int_eq(rmdir(folder), 0);
}

struct deed {
    const char *name;
    trial_fn trial;
};

/* ---- Claims -------------------------------------------------------------------------- */

static const struct deed deadly[] = {
    { "execve", try_execve }, { "ptrace", try_ptrace },
    { "process_vm_readv", try_vm_read }, { "bpf", try_bpf }, { "mount", try_mount },
    { "io_uring_setup", try_io_uring }, { "setuid", try_setuid },
};

START_TEST(what_only_an_intruder_does_ends_the_process)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };

    if (!has_layer("seccomp"))
        return;
    ck_assert_msg(run(&needs, deadly[_i].trial) == -SIGSYS, "%s", deadly[_i].name);
    needs.foreign_logins = true;
    ck_assert_msg(run(&needs, deadly[_i].trial) == -SIGSYS, "%s", deadly[_i].name);
}
END_TEST

static const struct deed refused[] = {
    { "fork", try_fork }, { "AF_PACKET", try_packet_socket },
    { "AF_INET", try_outgoing_socket }, { "/etc/shadow", try_shadow },
    { "/etc/passwd", try_passwd }, { "code", try_code }, { "mprotect", try_code_later },
    { "signal", try_signal_to_parent }, { "setrlimit", try_raising_limits },
    { "sync", try_unforeseen }, { "connect", try_connecting },
    { "unlink", try_removing_socket },
};

START_TEST(what_serving_does_not_need_is_refused)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };

    if (!has_layer("seccomp"))
        return;
    int got = run(&needs, refused[_i].trial);
    ck_assert_msg(got == EPERM || got == EACCES, "%s: %d", refused[_i].name, got);
}
END_TEST

START_TEST(strictly_what_serving_does_not_need_ends_the_process)
{
    struct sandbox_needs needs = { .mode = SANDBOX_STRICT };

    if (!has_layer("seccomp") || !has_layer("landlock"))
        return;
    int got = run(&needs, refused[_i].trial);
    /* The C library may look for a file at any time; that must not kill. */
    if (refused[_i].trial == try_shadow || refused[_i].trial == try_passwd)
        ck_assert_int_eq(got, EACCES);
    else
        ck_assert_msg(got == -SIGSYS, "%s: %d", refused[_i].name, got);
}
END_TEST

START_TEST(serving_goes_on)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };

    ck_assert_int_eq(run(&needs, try_serving), WORKS);
    if (has_layer("seccomp") && has_layer("landlock")) {
        needs.mode = SANDBOX_STRICT;
        ck_assert_int_eq(run(&needs, try_serving), WORKS);
    }
}
END_TEST

START_TEST(files_named_can_be_read_again_and_no_others)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };

    if (!has_layer("landlock") || !has_layer("seccomp"))
        return;
    sandbox_will_read(&needs, inside);
    ck_assert_int_eq(run(&needs, try_inside), WORKS);
    ck_assert_int_ne(run(&needs, try_writing_inside), WORKS);
    ck_assert_int_ne(run(&needs, try_creating_inside), WORKS);
    ck_assert_int_eq(run(&needs, try_passwd), EACCES);
    ck_assert_int_eq(run(&needs, try_shadow), EACCES);
}
END_TEST

START_TEST(a_file_that_takes_the_place_of_one_named_can_be_read)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };
    char link_path[80];

    if (!has_layer("landlock"))
        return;
    /* By a link from elsewhere, as secret stores have it. */
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    ck_assert_int_eq(symlink(inside, link_path), 0);
    sandbox_will_read(&needs, link_path);
    ck_assert_int_eq(run(&needs, try_inside), WORKS);
    ck_assert_int_eq(unlink(inside), 0);
    make_file(inside);
    ck_assert_int_eq(run(&needs, try_inside), WORKS);
    unlink(link_path);
}
END_TEST

START_TEST(a_socket_named_can_be_removed)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON };

    if (sandbox_unfit() != NULL)
        return;
    sandbox_will_remove(&needs, socket_path);
    ck_assert_int_eq(run(&needs, try_removing_socket), WORKS);
}
END_TEST

START_TEST(logins_by_a_library_may_read_and_connect)
{
    struct sandbox_needs needs = { .mode = SANDBOX_ON, .foreign_logins = true };

    ck_assert_int_eq(run(&needs, try_passwd), WORKS);
    ck_assert_int_eq(run(&needs, try_outgoing_socket), WORKS);
    ck_assert_int_eq(run(&needs, try_serving), WORKS);
    if (sandbox_unfit() == NULL)
        ck_assert_int_ne(run(&needs, try_writing_inside), WORKS);
}
END_TEST

START_TEST(no_capability_is_left)
{
    struct sandbox_needs needs = { .mode = SANDBOX_OFF };

    /* Asked before there is a filter: it is the layer that is tried. */
    pid_t child = fork();
    int status;
    if (child == 0)
        _exit(sandbox_drop_capabilities(&needs) != 0 ? BROKEN : try_privileges());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(off_forbids_nothing_and_says_so)
{
    struct sandbox_needs needs = { .mode = SANDBOX_OFF };
    char layers[SANDBOX_LAYERS_MAX];

    ck_assert_int_eq(enter_and_tell(&needs, layers), 0);
    ck_assert_str_eq(layers, "none");
    ck_assert_int_eq(run(&needs, try_passwd), WORKS);
    ck_assert_int_eq(run(&needs, try_fork), WORKS);
}
END_TEST

START_TEST(log_forbids_nothing_either)
{
    struct sandbox_needs needs = { .mode = SANDBOX_LOG };

    ck_assert_int_eq(run(&needs, try_passwd), WORKS);
    ck_assert_int_eq(run(&needs, try_fork), WORKS);
    ck_assert_int_eq(run(&needs, try_execve), WORKS);
}
END_TEST

START_TEST(strict_starts_with_all_layers_or_not_at_all)
{
    struct sandbox_needs needs = { .mode = SANDBOX_STRICT };
    char layers[SANDBOX_LAYERS_MAX];

    if (enter_and_tell(&needs, layers) == 0)
        ck_assert_str_eq(layers, "no_new_privs,capabilities,landlock,seccomp");
    else
        ck_assert(sandbox_unfit() != NULL || !has_layer("landlock") ||
                  !has_layer("seccomp"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *tcase = tcase_create("sandbox");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, what_only_an_intruder_does_ends_the_process, 0,
        (int)(sizeof deadly / sizeof *deadly));
    tcase_add_loop_test(tcase, what_serving_does_not_need_is_refused, 0,
        (int)(sizeof refused / sizeof *refused));
    tcase_add_loop_test(tcase, strictly_what_serving_does_not_need_ends_the_process, 0,
        (int)(sizeof refused / sizeof *refused));
    tcase_add_test(tcase, serving_goes_on);
    tcase_add_test(tcase, files_named_can_be_read_again_and_no_others);
    tcase_add_test(tcase, a_file_that_takes_the_place_of_one_named_can_be_read);
    tcase_add_test(tcase, a_socket_named_can_be_removed);
    tcase_add_test(tcase, logins_by_a_library_may_read_and_connect);
    tcase_add_test(tcase, no_capability_is_left);
    tcase_add_test(tcase, off_forbids_nothing_and_says_so);
    tcase_add_test(tcase, log_forbids_nothing_either);
    tcase_add_test(tcase, strict_starts_with_all_layers_or_not_at_all);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
