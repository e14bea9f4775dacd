/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

_Static_assert(RECORD_KEY_MAX <= UINT8_MAX, "a key's length is one byte of the file");

/* A file without a name in a directory. -1: errno says why not. */
static int
open_in(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

    /* Not every file system can do that. */
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if ((size_t)snprintf(path, sizeof path, "%s/larderctl.XXXXXX", directory) >=
        sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

bool
spool_open(struct spool *spool)
{
    const char *directory = getenv("TMPDIR");
    int fd;

    *spool = (struct spool){ .file = NULL };
    if (directory != NULL && *directory != '\0') {
        fd = open_in(directory);
    } else {
        fd = open_in("/var/tmp");
        if (fd < 0)
            fd = open_in("/tmp");
    }
    if (fd < 0)
        return false;
    spool->file = fdopen(fd, "w+");
    if (spool->file == NULL)
        close(fd);
    return spool->file != NULL;
}

void
spool_close(struct spool *spool)
{
    fclose(spool->file);
}

bool
spool_add(struct spool *spool, const struct record *record)
{
    assert(record->key_len > 0);
    assert(record->key_len <= RECORD_KEY_MAX);
    spool->keys++;
    return putc_unlocked((int)record->key_len, spool->file) != EOF &&
        fwrite(record->key, 1, record->key_len, spool->file) == record->key_len;
}

bool
spool_rewind(struct spool *spool)
{
    return fflush(spool->file) == 0 && fseek(spool->file, 0, SEEK_SET) == 0;
}

bool
spool_next(struct spool *spool, struct record *record_out)
{
    int len = getc_unlocked(spool->file);

    if (len == EOF)
        return false;
    *record_out = (struct record){ .key_len = (size_t)len };
    return fread(record_out->key, 1, record_out->key_len, spool->file) ==
        record_out->key_len;
}

bool
spool_failed(const struct spool *spool)
{
    return ferror(spool->file) != 0;
}
