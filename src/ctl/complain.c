/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/show.h"

void
ctl_complain(const char *format, ...)
{
    char text[2 * CTL_WHY_MAX];
    va_list values;
    int len;

    va_start(values, format);
    len = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (len < 0)
        return;
    if ((size_t)len >= sizeof text)
        len = (int)sizeof text - 1;
    flockfile(stderr);
    fputs("larderctl: ", stderr);
    show_line(stderr, slice_of(text, (size_t)len));
    putc('\n', stderr);
    funlockfile(stderr);
}

enum ctl_status
ctl_worse(enum ctl_status a, enum ctl_status b)
{
    return a > b ? a : b;
}
