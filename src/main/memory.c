/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "main/handover.h"
#include "main/process.h"

/* A file holds the items and, about, so much for the index: one part in so many, and so much
 * in any case. */
#define INDEX_SHARE 4
#define INDEX_LEAST (UINT64_C(4) << 20)

static int
refuse_file(const char *path, const char *why)
{
    fprintf(stderr, "-e, --memory-file: %s: %s\n", path, why);
    return STATUS_OS;
}

/* A file system that runs full while items are written ends the process (SIGBUS). */
static bool
has_room(int fd, uint64_t memory_max)
{
    uint64_t need = memory_max + memory_max / INDEX_SHARE + INDEX_LEAST;
    struct statvfs system;
    struct stat stat;

    if (fstatvfs(fd, &system) != 0 || fstat(fd, &stat) != 0)
        return true;
    return (uint64_t)system.f_bavail * system.f_frsize + (uint64_t)stat.st_blocks * 512 >=
           need;
}

/* The file of -e, locked, because two servers in one would be the end of both. */
static int
open_file(const struct options *options, int *fd_out)
{
    const char *path = options->memory_file;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const char *why = NULL;

    if (fd < 0)
        return refuse_file(path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        why = errno == EWOULDBLOCK ? "in use by another server" : strerror(errno);
    else if (!has_room(fd, options->memory_max))
        why = "its file system has no room for -m and an index (about a quarter more)";
    if (why == NULL) {
        *fd_out = fd;
        return 0;
    }
    close(fd);
    return refuse_file(path, why);
}

/* Takes over the store in `fd`, which it takes on success. */
static bool
take_over(struct memory *memory, const struct store_options *wanted, int fd,
    struct clock *clock, const char **why_out)
{
    struct store *store = store_adopt(wanted, fd, why_out);

    if (store == NULL)
        return false;
    if (!note_read(&memory->note, store_note(store)) ||
        !clock_resume(clock, &memory->note.stamp)) {
        store_destroy(store);
        memory->note = (struct note){ .takeovers = 0 };
        *why_out = "what was noted of its clock makes no sense";
        return false;
    }
    memory->note.takeovers++;
    memory->store = store;
    memory->taken_over = true;
    return true;
}

static bool
take_over_predecessor(struct memory *memory, const struct store_options *wanted,
    const struct options *options, struct predecessor *predecessor, struct clock *clock)
{
    int fd = baggage_take(&predecessor->baggage, HANDOVER_STORE);
    struct stat given, named;
    const char *why = "";

    if (fd < 0)
        return false;
    if (!take_over(memory, wanted, fd, clock, &why)) {
        log_line(LOG_ALWAYS, "handover: starting empty: %s", why);
        close(fd);
        return false;
    }
    if (options->memory_file != NULL &&
        (fstat(fd, &given) != 0 || stat(options->memory_file, &named) != 0 ||
            given.st_dev != named.st_dev || given.st_ino != named.st_ino))
        log_line(LOG_ALWAYS, "-e %s: not used before the next start without a handover; "
            "items stay where they are", options->memory_file);
    return true;
}

static int
open_in_file(struct memory *memory, const struct store_options *wanted,
    const struct options *options, struct clock *clock, const char **why_out)
{
    const char *why = "";
    struct stat stat;
    int fd, status = open_file(options, &fd);

    if (status != 0)
        return status;
    bool used = fstat(fd, &stat) == 0 && stat.st_size > 0;
    if (used && take_over(memory, wanted, fd, clock, &why))
        return 0;
    if (used)
        log_line(LOG_ALWAYS, "-e %s: starting empty: %s", options->memory_file, why);
    memory->store = store_create_in(wanted, fd, why_out);
    if (memory->store == NULL)
        close(fd);
    return 0;
}

int
memory_open(struct memory *memory, const struct store_options *wanted,
    const struct options *options, struct predecessor *predecessor, struct clock *clock)
{
    const char *why = "";
    int status = 0;

    *memory = (struct memory){ .store = NULL };
    if (take_over_predecessor(memory, wanted, options, predecessor, clock))
        return 0;
    if (options->memory_file != NULL)
        status = open_in_file(memory, wanted, options, clock, &why);
    else
        memory->store = store_create(wanted, &why);
    if (status != 0 || memory->store != NULL)
        return status;
    fprintf(stderr, "failed to prepare %llu MiB of item memory: %s: %s\n",
        (unsigned long long)wanted->memory_max >> 20, why, strerror(errno));
    return STATUS_FAILURE;
}

int
memory_leave(
    struct store *store, const struct note *note, const struct options *options, int *fd_out)
{
    size_t len = 0;
    char *text = note_write(note, &len);
    int error = text == NULL || len > STORE_NOTE_MAX ? -ENOMEM : 0;

    /* A file may be changed by others until it is read again, so all of it is summed up. */
    if (error == 0)
        error = store_leave(store, text, len, options->memory_file != NULL, fd_out);
    free(text);
    if (error != 0)
        log_line(LOG_ALWAYS, "items are lost: %s", strerror(-error));
    return error;
}
