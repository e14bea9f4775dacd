/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_file.c - options from a file, one a line, in the form of Debian's memcached.conf.
 *
 *     # a comment
 *     -m 64            -m64, -vv, -l 127.0.0.1
 *     --port=11211     --port 11211, port 11211, port = 11211
 *     -o idle_timeout=300
 *     -s "/a path/with blanks"
 *
 * No shell ever sees a line, nothing in it is expanded. A line that is not understood is
 * named with its number, and the whole file is refused: a server with half of its options
 * is none that anybody asked for. A # begins a comment at the beginning of a line or
 * behind a blank; \ makes the next character an ordinary one, quotes ' and " all between
 * them (in " a \ still counts).
 *
 * Two lines of Debian's own file are left out with a word, as its start script leaves them
 * out: `-d`, because whoever uses a file has a service manager, and `logfile`.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/option_rows.h"

/* What is read, and where in it. `at` is in a copy that is cut into strings. */
struct reader {
    struct options *options;
    const char *path;
    unsigned line;
    char *at; /* the rest of the line, ends with NUL */
};

static int refuse(const struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
refuse(const struct reader *reader, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s:%u: ", reader->path, reader->line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return OPTIONS_BAD_USAGE;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* True: nothing but blanks or a comment is left. */
static bool
at_end(struct reader *reader)
{
    while (is_blank(*reader->at))
        reader->at++;
    return *reader->at == '\0' || *reader->at == '#';
}

/* Takes one value off the line, quotes and backslashes undone in place. NULL: a quote is
 * open at the end. */
static char *
take_value(struct reader *reader)
{
    char *from = reader->at, *to = from, *value = from, quote = '\0';

    for (; *from != '\0' && (quote != '\0' || !is_blank(*from)); from++) {
        if (quote != '\0' ? *from == quote : *from == '"' || *from == '\'') {
            quote = quote == '\0' ? *from : '\0';
        } else if (*from == '\\' && quote != '\'' && from[1] != '\0') {
            *to++ = *++from;
        } else {
            *to++ = *from;
        }
    }
    reader->at = *from == '\0' ? from : from + 1;
    *to = '\0';
    return quote == '\0' ? value : NULL;
}

/* Is it one of those that Debian's start script leaves out? */
static bool
is_left_out(const struct reader *reader, const struct option_row *row)
{
    if (row->letter != 'd')
        return false;
    fprintf(stderr, "%s:%u: -d: not from a file; left out\n", reader->path, reader->line);
    return true;
}

static int
apply(struct reader *reader, const struct option_row *row, const char *text)
{
    const char *name = row->name == NULL ? "-D" : row->name;

    if (row->kind == OPTION_ACT || row->set == option_set_config)
        return refuse(reader, "belongs on the command line: %s", name);
    if (is_left_out(reader, row))
        return OPTIONS_GO_ON;
    if (row->argument == NULL && !row->optional && text != NULL)
        return refuse(reader, "takes no value: %s", name);
    if (row->argument != NULL && text == NULL)
        return refuse(reader, "needs a value: %s", name);
    int status = option_apply(reader->options, row, text);
    if (status != OPTIONS_GO_ON)
        refuse(reader, "refused: %s%s%s", name, text == NULL ? "" : " ",
            text == NULL ? "" : text);
    return status;
}

/* The value that ends a line; *text_out is NULL if there is none. */
static int
take_last(struct reader *reader, char **text_out)
{
    *text_out = NULL;
    if (at_end(reader))
        return OPTIONS_GO_ON;
    *text_out = take_value(reader);
    if (*text_out == NULL)
        return refuse(reader, "a quote is not closed");
    if (!at_end(reader))
        return refuse(reader, "more than one value; a value with blanks goes in quotes: "
            "\"%s\"", reader->at);
    return OPTIONS_GO_ON;
}

/* -m 64, -m64, -vv. The dash has been taken. */
static int
read_letters(struct reader *reader)
{
    const struct option_row *row;
    char *text;

    do {
        char letter = *reader->at++;
        row = option_find_letter((unsigned char)letter);
        if (row == NULL)
            return refuse(reader, "unknown option -%c", letter);
        if (row->argument != NULL)
            break;
        int status = apply(reader, row, NULL);
        if (status != OPTIONS_GO_ON)
            return status;
    } while (*reader->at != '\0' && !is_blank(*reader->at));
    int status = take_last(reader, &text);
    if (status != OPTIONS_GO_ON || (row->argument == NULL && text == NULL))
        return status;
    return apply(reader, row, text);
}

/* port 11211, port=11211, port = 11211. */
static int
read_name(struct reader *reader)
{
    size_t len = strcspn(reader->at, " \t\r\v\f=#");
    const char *name = reader->at;
    const struct option_row *row = option_find_name(option_rows, name, len);
    char *text;

    if (row == NULL && len == strlen("logfile") && strncmp(name, "logfile", len) == 0) {
        fprintf(stderr, "%s:%u: logfile: messages go to standard error; left out\n",
            reader->path, reader->line);
        return OPTIONS_GO_ON;
    }
    if (row == NULL) {
        refuse(reader, "unknown option \"%.*s\"", (int)len, name);
        option_print_nearest(option_rows, name, len);
        return OPTIONS_BAD_USAGE;
    }
    reader->at += len;
    bool end = at_end(reader);
    if (!end && *reader->at == '=') {
        reader->at++;
        end = at_end(reader);
    }
    int status = end ? OPTIONS_GO_ON : take_last(reader, &text);
    if (status != OPTIONS_GO_ON)
        return status;
    return apply(reader, row, end ? NULL : text);
}

static int
read_line(struct reader *reader)
{
    if (at_end(reader))
        return OPTIONS_GO_ON;
    if (reader->at[0] != '-')
        return read_name(reader);
    reader->at++;
    if (reader->at[0] == '\0' || is_blank(reader->at[0]))
        return refuse(reader, "a dash alone");
    if (reader->at[0] != '-')
        return read_letters(reader);
    reader->at++;
    return read_name(reader);
}

int
option_file_apply(struct options *options, const char *path, char *text, size_t len)
{
    struct reader reader = { .options = options, .path = path };
    int status = OPTIONS_GO_ON;

    assert(text[len] == '\0');
    for (char *line = text, *end; status == OPTIONS_GO_ON && line < text + len;
         line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        if (end == NULL)
            end = text + len;
        *end = '\0';
        reader.line++;
        reader.at = line;
        if (memchr(line, '\0', (size_t)(end - line)) != NULL)
            status = refuse(&reader, "holds a zero byte");
        else
            status = read_line(&reader);
    }
    return status;
}

int
option_file_read(struct options *options, const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(OPTION_FILE_MAX + 2);
    size_t len = text == NULL ? 0 : fread(text, 1, OPTION_FILE_MAX + 1, file);
    int status = OPTIONS_BAD_USAGE;

    if (text == NULL || ferror(file)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    } else if (len > OPTION_FILE_MAX) {
        fprintf(stderr, "%s: longer than %u bytes\n", path, OPTION_FILE_MAX);
    } else {
        text[len] = '\0';
        status = option_file_apply(options, path, text, len);
    }
    free(text);
    if (file != NULL)
        fclose(file);
    return status;
}
