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

/* Its name in baggage. */
static void
bag_name(const struct memory_place *place, char name[BAGGAGE_NAME_MAX])
{
    if (place->name == NULL)
        snprintf(name, BAGGAGE_NAME_MAX, "%s", HANDOVER_STORE);
    else
        snprintf(name, BAGGAGE_NAME_MAX, "%s.%s", HANDOVER_STORE, place->name);
}

_Static_assert(sizeof HANDOVER_STORE + OPTION_NAME_SIZE <= BAGGAGE_NAME_MAX,
    "the names of all namespaces have room");

/* ---- Files ----------------------------------------------------------------------------- */

static int
refuse_file(const char *path, const char *why)
{
    fprintf(stderr, "-e, --memory-file: %s: %s\n", path, why);
    return STATUS_OS;
}

/* A file system that runs full while items are written ends the process (SIGBUS). */
static bool
has_room(int fd, uint64_t memory_max, struct memory_shared *shared)
{
    uint64_t need = memory_max + memory_max / INDEX_SHARE + INDEX_LEAST;
    struct statvfs system;
    struct stat stat;

    if (fstatvfs(fd, &system) != 0 || fstat(fd, &stat) != 0)
        return true;
    uint64_t has = (uint64_t)stat.st_blocks * 512;
    shared->promised += need > has ? need - has : 0;
    return (uint64_t)system.f_bavail * system.f_frsize >= shared->promised;
}

/* Opens a file of -e and locks it, because two servers in one would be the end of both. */
static int
open_file(const char *path, uint64_t memory_max, struct memory_shared *shared, int *fd_out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const char *why = NULL;

    if (fd < 0)
        return refuse_file(path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        why = errno == EWOULDBLOCK ? "in use by another server" : strerror(errno);
    else if (!has_room(fd, memory_max, shared))
        why = "its file system has no room for -m and an index (about a quarter more)";
    if (why == NULL) {
        *fd_out = fd;
        return 0;
    }
    close(fd);
    return refuse_file(path, why);
}

/* ---- Taking over ----------------------------------------------------------------------- */

/* NULL, or why the clock of a store can't be gone on with. */
static const char *
resume_clock(struct memory_shared *shared, const struct clock_stamp *stamp)
{
    if (shared->resumed)
        return shared->stamp.epoch == stamp->epoch &&
                strcmp(shared->stamp.boot, stamp->boot) == 0
            ? NULL
            : "it was left at another time than the default namespace";
    if (!clock_resume(shared->clock, stamp))
        return "what was noted of its clock makes no sense";
    shared->resumed = true;
    shared->stamp = *stamp;
    return NULL;
}

/* Takes over the store in `fd`, which it takes on success. NULL, or why not. */
static const char *
take_over(struct memory *memory, const struct store_options *wanted, int fd,
    struct memory_shared *shared)
{
    const char *why = "";
    /* A store that is looked into and then refused takes its descriptor along. */
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct store *store = copy < 0 ? NULL : store_adopt(wanted, copy, &why);

    if (store == NULL && copy >= 0)
        close(copy);
    if (store == NULL)
        return copy < 0 ? strerror(errno) : why;
    why = note_read(&memory->note, store_note(store))
        ? resume_clock(shared, &memory->note.stamp)
        : "what was noted of its clock makes no sense";
    if (why != NULL) {
        store_destroy(store);
        memory->note = (struct note){ .takeovers = 0 };
        return why;
    }
    close(fd);
    memory->note.takeovers++;
    memory->store = store;
    memory->taken_over = true;
    return NULL;
}

/* Is what was handed over the file that -e names? */
static bool
is_named_file(const struct memory_place *place, int fd)
{
    struct stat given, named;

    return place->memory_file != NULL && fstat(fd, &given) == 0 &&
           stat(place->memory_file, &named) == 0 && given.st_dev == named.st_dev &&
           given.st_ino == named.st_ino;
}

/* What is said before why it starts empty: which namespace, if it is not the default one. */
static const char *
tag_of(const struct memory_place *place, char tag[64])
{
    if (place->name == NULL)
        return "";
    snprintf(tag, 64, "namespace %s: ", place->name);
    return tag;
}

/* Takes over what was handed over, or begins anew in it if -e names it: it is locked through
 * this very descriptor. False: there is no store yet. */
static bool
take_over_predecessor(struct memory *memory, const struct store_options *wanted,
    struct predecessor *predecessor, struct memory_shared *shared)
{
    const struct memory_place *place = &memory->place;
    char name[BAGGAGE_NAME_MAX], tag[64];

    bag_name(place, name);
    int fd = baggage_take(&predecessor->baggage, name);
    if (fd < 0)
        return false;
    bool named = is_named_file(place, fd);
    const char *why = take_over(memory, wanted, fd, shared);
    if (why == NULL && place->memory_file != NULL && !named)
        log_line(LOG_ALWAYS, "-e %s: not used before the next start without a handover; "
            "items stay where they are", place->memory_file);
    if (why == NULL)
        return true;
    log_line(LOG_ALWAYS, "handover: %sstarting empty: %s", tag_of(place, tag), why);
    if (named)
        memory->store = store_create_in(wanted, fd, &why);
    if (memory->store == NULL)
        close(fd);
    return memory->store != NULL;
}

static int
open_in_file(struct memory *memory, const struct store_options *wanted,
    struct memory_shared *shared, const char **why_out)
{
    const char *path = memory->place.memory_file, *why = NULL;
    struct stat stat;
    int fd, status = open_file(path, wanted->memory_max, shared, &fd);

    if (status != 0)
        return status;
    if (fstat(fd, &stat) == 0 && stat.st_size > 0) {
        why = take_over(memory, wanted, fd, shared);
        if (why == NULL)
            return 0;
        log_line(LOG_ALWAYS, "-e %s: starting empty: %s", path, why);
    }
    memory->store = store_create_in(wanted, fd, why_out);
    if (memory->store == NULL)
        close(fd);
    return 0;
}

int
memory_open(struct memory *memory, const struct memory_place *place,
    const struct store_options *wanted, struct predecessor *predecessor,
    struct memory_shared *shared)
{
    const char *why = "";
    char tag[64];
    int status = 0;

    *memory = (struct memory){ .place = *place };
    if (take_over_predecessor(memory, wanted, predecessor, shared))
        return 0;
    if (place->memory_file != NULL)
        status = open_in_file(memory, wanted, shared, &why);
    else
        memory->store = store_create(wanted, &why);
    if (status != 0 || memory->store != NULL)
        return status;
    fprintf(stderr, "%sfailed to prepare %llu MiB of item memory: %s: %s\n",
        tag_of(place, tag), (unsigned long long)wanted->memory_max >> 20, why,
        strerror(errno));
    return STATUS_FAILURE;
}

void
memory_leave(struct memory *memory, const struct note *note, struct baggage *baggage)
{
    char name[BAGGAGE_NAME_MAX], tag[64];
    size_t len = 0;
    char *text = note_write(note, &len);
    int fd = -1, error = text == NULL || len > STORE_NOTE_MAX ? -ENOMEM : 0;

    /* A file may be changed by others until it is read again, so all of it is summed up. */
    if (error == 0)
        error = store_leave(
            memory->store, text, len, memory->place.memory_file != NULL, &fd);
    free(text);
    bag_name(&memory->place, name);
    if (error == 0 && baggage == NULL)
        close(fd);
    else if (error == 0 && !baggage_put(baggage, name, fd))
        error = -ENOMEM;
    if (error != 0)
        log_line(LOG_ALWAYS, "%sitems are lost: %s", tag_of(&memory->place, tag),
            strerror(-error));
}
