/* SPDX-License-Identifier: BSD-3-Clause */
/* option_help.c - --help and --license, made from the rows. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/option_rows.h"

#define NAME_WIDTH 36
#define LINE_WIDTH 90

/* Prints words up to the line's end and goes on below where they began. */
static void
print_wrapped(const char *text, int column)
{
    int at = column;

    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (at > column && at + 1 + len > LINE_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", len, text);
        at += len;
        text += len;
        text += strspn(text, " ");
    }
    putchar('\n');
}

/* What --help calls the default; empty when there is nothing to call so. */
static void
usual_value(const struct options *options, const struct option_row *row, char *to,
    size_t size)
{
    *to = '\0';
    if (row->argument == NULL || row->set == option_set_config)
        return;
    option_show(options, row, to, size);
    if (row->kind == OPTION_TEXT && *to == '\0')
        snprintf(to, size, "none");
}

static void
print_row(const struct options *options, const struct option_row *row)
{
    char name[LINE_WIDTH], value[LINE_WIDTH], help[4 * LINE_WIDTH];
    const char *equals = row->argument == NULL ? "" : row->name == NULL ? " " : "=";
    const char *argument = row->argument == NULL ? "" : row->argument;

    if (row->letter == 0 || row->letter > UCHAR_MAX)
        snprintf(name, sizeof name, "      %s%s%s%s%s%s%s", row->letter == 0 ? "" : "--",
            row->name, row->optional ? "[" : "", equals, row->argument == NULL ? "" : "<", argument,
            row->argument == NULL ? "" : row->optional ? ">]" : ">");
    else
        snprintf(name, sizeof name, "  -%c%s%s%s%s%s%s", row->letter,
            row->name == NULL ? "" : ", --", row->name == NULL ? "" : row->name, equals,
            row->argument == NULL ? "" : "<", argument,
            row->argument == NULL ? "" : ">");
    usual_value(options, row, value, sizeof value);
    if (*value == '\0')
        snprintf(help, sizeof help, "%s", row->help);
    else
        snprintf(help, sizeof help, "%s%s(default: %s)", row->help,
            *row->help == '\0' ? "" : " ", value);
    int len = printf("%-*s", NAME_WIDTH, name);
    if (*help == '\0') {
        putchar('\n');
        return;
    }
    if (len > NAME_WIDTH)
        printf("\n%*s", NAME_WIDTH, "");
    print_wrapped(help, NAME_WIDTH);
}

/* The LATER words are left out: they would only promise what is not there. */
static void
print_rows(const struct options *options, const struct option_row *row)
{
    for (; !option_row_is_last(row); row++) {
        if (row->kind == OPTION_GROUP)
            printf("\n%s\n", row->help);
        else if (row->kind != OPTION_LATER)
            print_row(options, row);
    }
}

void
option_print_help(const struct options *options)
{
    puts(PACKAGE_NAME " " OPTIONS_VERSION);
    puts("A cache server that speaks memcached's protocol and takes its options.\n"
         "Usage: " PACKAGE_NAME " [options]");
    print_rows(options, option_rows);
    print_rows(options, option_words);
    puts("\nEnvironment\n"
         "  MEMCACHED_PORT_FILENAME           file that receives the ports in use\n"
#ifdef HAVE_SASL
         "  MEMCACHED_SASL_PWDB               file of user:password lines for -S\n"
         "  SASL_CONF_PATH                    directory of SASL's memcached.conf\n"
#endif
         "  NOTIFY_SOCKET, LISTEN_FDS         as systemd sets them\n"
         "\nThe manual page larder(1) says more.");
}

void
option_print_licence(void)
{
    puts(PACKAGE_NAME " " OPTIONS_VERSION "\n"
         "\n"
         "Copyright (c) 2026, the Larder authors. All rights reserved.\n"
         "\n"
         "Redistribution and use in source and binary forms, with or without\n"
         "modification, are permitted provided that the following conditions are met:\n"
         "\n"
         "1. Redistributions of source code must retain the above copyright notice,\n"
         "   this list of conditions and the following disclaimer.\n"
         "2. Redistributions in binary form must reproduce the above copyright notice,\n"
         "   this list of conditions and the following disclaimer in the documentation\n"
         "   and/or other materials provided with the distribution.\n"
         "3. Neither the name of the copyright holder nor the names of its\n"
         "   contributors may be used to endorse or promote products derived from\n"
         "   this software without specific prior written permission.\n"
         "\n"
         "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS \"AS IS\"\n"
         "AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE\n"
         "IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE\n"
         "ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE\n"
         "LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR\n"
         "CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF\n"
         "SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS\n"
         "INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN\n"
         "CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE)\n"
         "ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE\n"
         "POSSIBILITY OF SUCH DAMAGE.");
}
