/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/authfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

struct entry {
    struct slice user, password; /* inside the table's text */
};

/* A file as it once was: pages of their own, so that they can be kept out of cores. */
struct table {
    char *text;
    size_t size; /* of the mapping */
    size_t used; /* bytes of the file */
    unsigned count;
    struct entry entries[];
};

struct authfile {
    char *path; /* absolute, for the process may change its directory */
    char *shown; /* as it was given */
    pthread_mutex_t lock;
    struct table *table; /* guarded by lock; what it points to does not change */
};

static void __attribute__((format(printf, 2, 3)))
tell(char why[AUTHFILE_WHY_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, AUTHFILE_WHY_MAX, format, arguments);
    va_end(arguments);
}

static void
table_free(struct table *table)
{
    if (table == NULL)
        return;
    explicit_bzero(table->text, table->used);
    munmap(table->text, table->size);
    free(table);
}

/* The file's bytes, read without a buffer that would keep a copy. -1 with errno set, or
 * their number, which is over AUTHFILE_BYTES_MAX if there are too many. */
static ssize_t
read_all(const char *path, char *to)
{
    size_t len = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    do {
        got = read(fd, to + len, AUTHFILE_BYTES_MAX + 1 - len);
        if (got > 0)
            len += (size_t)got;
    } while ((got > 0 && len <= AUTHFILE_BYTES_MAX) || (got < 0 && errno == EINTR));
    int error = errno;
    close(fd);
    errno = error;
    return got < 0 ? -1 : (ssize_t)len;
}

/* The next line that is not empty, without its end. False: there is none. */
static bool
next_line(struct slice *rest, struct slice *line_out)
{
    while (rest->len > 0) {
        const char *lf = memchr(rest->data, '\n', rest->len);
        size_t len = lf == NULL ? rest->len : (size_t)(lf - rest->data);
        size_t used = lf == NULL ? len : len + 1;
        struct slice line = slice_of(rest->data, len);

        *rest = slice_of(rest->data + used, rest->len - used);
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        *line_out = line;
        return true;
    }
    return false;
}

/* True if the line is an entry. */
static bool
split(struct slice line, struct entry *entry_out)
{
    const char *colon = memchr(line.data, ':', line.len);
    size_t len;

    if (colon == NULL)
        return false;
    len = (size_t)(colon - line.data);
    entry_out->user = slice_of(line.data, len);
    entry_out->password = slice_of(colon + 1, line.len - len - 1);
    return true;
}

static bool
parse(const struct authfile *authfile, struct table *table, size_t len,
    char why[AUTHFILE_WHY_MAX])
{
    struct slice rest = slice_of(table->text, len), line;

    while (next_line(&rest, &line)) {
        if (table->count == AUTHFILE_ENTRIES_MAX) {
            tell(why, "Authfile [%s] has more than %u entries", authfile->shown,
                AUTHFILE_ENTRIES_MAX);
            return false;
        }
        if (!split(line, &table->entries[table->count])) {
            tell(why, "Authfile [%s] has a malformed entry. Should be 'user:password'",
                authfile->shown);
            return false;
        }
        table->count++;
    }
    return true;
}

static struct table *
table_read(const struct authfile *authfile, char why[AUTHFILE_WHY_MAX])
{
    struct table *table = calloc(
        1, sizeof *table + AUTHFILE_ENTRIES_MAX * sizeof table->entries[0]);
    ssize_t len;

    if (table == NULL) {
        tell(why, "Authfile [%s]: out of memory", authfile->shown);
        return NULL;
    }
    table->size = AUTHFILE_BYTES_MAX + 1;
    table->text = mmap(NULL, table->size, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table->text == MAP_FAILED) {
        free(table);
        tell(why, "Authfile [%s]: out of memory", authfile->shown);
        return NULL;
    }
    madvise(table->text, table->size, MADV_DONTDUMP);
    len = read_all(authfile->path, table->text);
    table->used = len < 0 ? table->size : (size_t)len;
    if (len < 0)
        tell(why, "Could not open authfile [%s] for reading, error %s", authfile->shown,
            strerror(errno));
    else if ((size_t)len > AUTHFILE_BYTES_MAX)
        tell(why, "Authfile [%s] is longer than %u bytes", authfile->shown,
            AUTHFILE_BYTES_MAX);
    else if (parse(authfile, table, (size_t)len, why))
        return table;
    table_free(table);
    return NULL;
}

/* NULL: out of memory. */
static char *
absolute(const char *path)
{
    char *directory, *whole;

    if (*path == '/')
        return strdup(path);
    directory = getcwd(NULL, 0);
    if (directory == NULL || asprintf(&whole, "%s/%s", directory, path) < 0)
        whole = NULL;
    free(directory);
    return whole;
}

struct authfile *
authfile_open(const char *path, char why[AUTHFILE_WHY_MAX])
{
    struct authfile *authfile = calloc(1, sizeof *authfile);

    if (authfile == NULL) {
        tell(why, "Authfile [%s]: out of memory", path);
        return NULL;
    }
    pthread_mutex_init(&authfile->lock, NULL);
    authfile->path = absolute(path);
    authfile->shown = strdup(path);
    if (authfile->path == NULL || authfile->shown == NULL)
        tell(why, "Authfile [%s]: %s", path, strerror(errno));
    else
        authfile->table = table_read(authfile, why);
    if (authfile->table != NULL)
        return authfile;
    authfile_close(authfile);
    return NULL;
}

void
authfile_close(struct authfile *authfile)
{
    table_free(authfile->table);
    pthread_mutex_destroy(&authfile->lock);
    free(authfile->path);
    free(authfile->shown);
    free(authfile);
}

const char *
authfile_path(const struct authfile *authfile)
{
    return authfile->path;
}

bool
authfile_reload(struct authfile *authfile, char why[AUTHFILE_WHY_MAX])
{
    struct table *table = table_read(authfile, why), *old;

    if (table == NULL)
        return false;
    pthread_mutex_lock(&authfile->lock);
    old = authfile->table;
    authfile->table = table;
    pthread_mutex_unlock(&authfile->lock);
    table_free(old);
    return true;
}

/* 1 if both are the same, in a time that depends on their lengths only. */
static unsigned
same(struct slice a, struct slice b)
{
    unsigned differ = 0;

    if (a.len != b.len)
        return 0;
    for (size_t i = 0; i < a.len; i++)
        differ |= (unsigned)(unsigned char)(a.data[i] ^ b.data[i]);
    return (differ - 1u) >> 31;
}

bool
authfile_check(struct authfile *authfile, struct slice user, struct slice password)
{
    unsigned good = 0;

    pthread_mutex_lock(&authfile->lock);
    for (unsigned i = 0; i < authfile->table->count; i++) {
        const struct entry *entry = &authfile->table->entries[i];
        unsigned named = same(entry->user, user);
        unsigned known = same(entry->password, password);

        good |= named & known;
    }
    pthread_mutex_unlock(&authfile->lock);
    return good != 0;
}
