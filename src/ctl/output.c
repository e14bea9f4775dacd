/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/output.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* What goes when a signal ends the program; a handler has no other way to know it. */
static char doomed[PATH_MAX];

static void
remove_doomed(int number)
{
    unlink(doomed);
    raise(number); /* SA_RESETHAND: now it has its usual effect */
}

static void
catch_signals(void)
{
    static const int NUMBERS[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = remove_doomed,
        .sa_flags = (int)SA_RESETHAND | SA_NODEFER }, old;

    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        if (sigaction(NUMBERS[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(NUMBERS[i], &action, NULL);
}

bool
output_open(struct output *output, const char *path)
{
    int fd;

    *output = (struct output){ .to = stdout };
    if (path == NULL || strcmp(path, "-") == 0)
        return true;
    output->path = path;
    if ((size_t)snprintf(output->temporary, sizeof output->temporary, "%s.XXXXXX", path) >=
        sizeof output->temporary) {
        ctl_complain("%s: the name is too long", path);
        return false;
    }
    fd = mkstemp(output->temporary);
    output->to = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (output->to == NULL) {
        ctl_complain("%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    memcpy(doomed, output->temporary, sizeof doomed);
    catch_signals();
    return true;
}

bool
output_good(const struct output *output)
{
    return ferror(output->to) == 0;
}

bool
output_close(struct output *output, bool whole)
{
    const char *name = output->path != NULL ? output->path : "the output";
    bool good = fflush(output->to) == 0 && ferror(output->to) == 0;
    int error = errno;

    if (output->path != NULL) {
        if (good && whole)
            good = fsync(fileno(output->to)) == 0;
        if (fclose(output->to) != 0)
            good = false;
        if (good && whole)
            good = rename(output->temporary, output->path) == 0;
        error = errno;
        if (!good || !whole)
            unlink(output->temporary);
    }
    if (!good)
        ctl_complain("cannot write %s: %s", name, strerror(error));
    return good;
}
