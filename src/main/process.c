/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int
process_allow_cores(const struct options *options)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

    if (!options->coredumps)
        return 0;
    if (setrlimit(RLIMIT_CORE, &limit) != 0 && getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
    }
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur == 0) {
        fprintf(stderr, "failed to ensure corefile creation\n");
        return STATUS_OS;
    }
    return 0;
}

/* True: the process may now have `need` descriptors. */
static bool
raise_files(rlim_t need)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur >= need)
        return true;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

int
process_allow_files(struct options *options, unsigned reserve)
{
    struct rlimit limit;

    if (raise_files((rlim_t)options->connections_max + reserve))
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > reserve &&
        raise_files(limit.rlim_max)) {
        fprintf(stderr, "WARNING: -c %d needs %lu open files, but the limit is %lu: "
            "serving at most %lu clients\n", options->connections_max,
            (unsigned long)options->connections_max + reserve,
            (unsigned long)limit.rlim_max, (unsigned long)limit.rlim_max - reserve);
        options->connections_max = (int)(limit.rlim_max - reserve);
        return 0;
    }
    fprintf(stderr, "failed to set rlimit for open files. Try starting as root or "
        "requesting smaller maxconns value.\n");
    return STATUS_OS;
}

static int
refuse_identity(const char *name)
{
    fprintf(stderr, "failed to assume identity of user %s: %s\n", name, strerror(errno));
    return STATUS_OS;
}

int
process_become_user(const struct options *options)
{
    const struct passwd *entry;

    if (getuid() != 0 && geteuid() != 0)
        return 0;
    if (options->user == NULL) {
        fprintf(stderr, "must add '-u root' to start as root\n");
        return STATUS_USAGE;
    }
    entry = getpwnam(options->user);
    if (entry == NULL) {
        fprintf(stderr, "can't find the user %s to switch to\n", options->user);
        return STATUS_NO_USER;
    }
    uid_t user = entry->pw_uid;
    gid_t group = entry->pw_gid;
    /* A root that stays root may lack the right to do this, in a container. */
    if (setgroups(0, NULL) != 0 && user != 0)
        return refuse_identity(options->user);
    if (setgid(group) != 0 || setuid(user) != 0)
        return refuse_identity(options->user);
    if (user != 0 && setuid(0) == 0) { /* it must be for good */
        errno = EPERM;
        return refuse_identity(options->user);
    }
    if (options->coredumps)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

int
process_detach(const struct options *options)
{
    if (!options->daemonize)
        return 0;
    if (signal(SIGHUP, SIG_IGN) == SIG_ERR)
        perror("Failed to ignore SIGHUP");
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "failed to daemon() in order to daemonize: %s\n",
            strerror(errno));
        return STATUS_FAILURE;
    }
    if (child > 0)
        _exit(0);
    setsid();
    signal(SIGHUP, SIG_DFL); /* it is blocked by now, and read by serve.c */
    if (!options->coredumps && chdir("/") != 0)
        perror("chdir");
    if (options->verbose > 0)
        return 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) {
        perror("/dev/null");
        return 0;
    }
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
    return 0;
}

void
process_lock_memory(const struct options *options)
{
    /* ONFAULT: the store reserves far more addresses than it will use, and only what is in
     * use is to be locked. */
    if (options->lock_memory &&
        mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        fprintf(stderr, "warning: -k invalid, mlockall() failed: %s\n", strerror(errno));
}

/* Somebody else's process id in the file is worth a word. */
static void
warn_of_other(const char *path)
{
    FILE *file = fopen(path, "re");
    long pid = 0;

    if (file == NULL)
        return;
    if (fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    fclose(file);
    if (pid > 0 && pid != (long)getpid() && kill((pid_t)pid, 0) == 0)
        fprintf(stderr, "WARNING: The pid file contained the following (running) pid: "
            "%ld\n", pid);
}

void
process_write_pid(const struct options *options, bool taking_over)
{
    const char *path = options->pid_file;
    char *temporary;
    FILE *file;

    if (path == NULL || asprintf(&temporary, "%s.tmp", path) < 0)
        return;
    if (!taking_over)
        warn_of_other(path);
    file = fopen(temporary, "we");
    if (file == NULL) {
        fprintf(stderr, "Could not open the pid file %s for writing: %s\n", temporary,
            strerror(errno));
        free(temporary);
        return;
    }
    fprintf(file, "%ld\n", (long)getpid());
    if (fclose(file) != 0)
        fprintf(stderr, "Could not close the pid file %s: %s\n", temporary,
            strerror(errno));
    else if (rename(temporary, path) != 0)
        fprintf(stderr, "Could not rename the pid file from %s to %s: %s\n", temporary,
            path, strerror(errno));
    free(temporary);
}

void
process_remove_pid(const struct options *options)
{
    if (options->pid_file != NULL && options->daemonize &&
        unlink(options->pid_file) != 0)
        fprintf(stderr, "Could not remove the pid file %s: %s\n", options->pid_file,
            strerror(errno));
}
