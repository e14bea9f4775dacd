/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_values.c - the text of one option becomes the field of its row.
 *
 * memcached reads most numbers with atoi(), so that garbage is 0. Here garbage is
 * refused and the option is named; a number it accepts means the same.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/option_rows.h"

static const char *
skip_blanks(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

bool
option_number(const char *text, int64_t *number_out)
{
    char *end;

    text = skip_blanks(text);
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || errno != 0 || *skip_blanks(end) != '\0')
        return false;
    *number_out = number;
    return true;
}

/* "-c, --conn-limit" or "-o idle_timeout". */
static void
print_name(const struct option_row *row)
{
    if (row->letter == 0)
        fprintf(stderr, "-o %s", row->name);
    else if (row->letter > UCHAR_MAX)
        fprintf(stderr, "--%s", row->name);
    else if (row->name == NULL)
        fprintf(stderr, "-%c", row->letter);
    else
        fprintf(stderr, "-%c, --%s", row->letter, row->name);
}

static int
refuse(const struct option_row *row, const char *text, const char *why)
{
    print_name(row);
    fprintf(stderr, ": %s: \"%s\"\n", why, text);
    if (row->refusal != NULL)
        fprintf(stderr, "%s\n", row->refusal);
    return row->status != 0 ? row->status : OPTIONS_BAD_VALUE;
}

static int
refuse_range(const struct option_row *row, int64_t number)
{
    if (row->refusal != NULL && number < row->max) {
        fprintf(stderr, "%s\n", row->refusal);
    } else {
        print_name(row);
        fprintf(stderr, ": must be between %lld and %lld\n", (long long)row->min,
            (long long)row->max);
    }
    return row->status != 0 ? row->status : OPTIONS_BAD_VALUE;
}

static int
apply_number(void *field, const struct option_row *row, const char *text)
{
    uint64_t unit = row->unit == 0 ? 1 : row->unit;
    int64_t number;

    assert(text != NULL); /* the tables say so: only switches and setters do without */
    if (!option_number(text, &number))
        return refuse(row, text, "not a number");
    if (number < row->min || number > row->max)
        return refuse_range(row, number);
    if (row->kind == OPTION_INT)
        *(int *)field = (int)number;
    else if (row->kind == OPTION_U32)
        *(uint32_t *)field = (uint32_t)((uint64_t)number * unit);
    else
        *(uint64_t *)field = (uint64_t)number * unit;
    return OPTIONS_GO_ON;
}

static int
apply_real(double *field, const struct option_row *row, const char *text)
{
    char *end;

    assert(text != NULL);
    text = skip_blanks(text);
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || errno != 0 || *skip_blanks(end) != '\0' || !isfinite(number))
        return refuse(row, text, "not a number");
    if (!(number > row->low && number <= row->high)) {
        fprintf(stderr, "%s\n", row->refusal);
        return OPTIONS_BAD_VALUE;
    }
    *field = number;
    return OPTIONS_GO_ON;
}

static int
apply_text(char **field, const struct option_row *row, const char *text)
{
    assert(text != NULL);
    if (*text == '\0')
        return refuse(row, text, "must not be empty");
    char *copy = strdup(text);
    if (copy == NULL)
        return refuse(row, text, "out of memory");
    free(*field);
    *field = copy;
    return OPTIONS_GO_ON;
}

/* Says what the program was not built with. */
static int
refuse_later(const struct option_row *row)
{
    fprintf(stderr, "This server is not built with %s: ", row->help);
    print_name(row);
    fputc('\n', stderr);
    return OPTIONS_BAD_USAGE;
}

/* A number that is missing is said differently from other things, as in memcached. */
static int
refuse_missing(const struct option_row *row)
{
    bool numeric = row->kind == OPTION_INT || row->kind == OPTION_U32 ||
                   row->kind == OPTION_U64 || row->kind == OPTION_REAL;

    if (numeric)
        fprintf(stderr, "Missing numeric argument for %s\n", row->name);
    else
        fprintf(stderr, "Missing %s argument\n", row->name);
    return OPTIONS_BAD_VALUE;
}

int
option_apply(struct options *options, const struct option_row *row, const char *text)
{
    void *field = (char *)options + row->offset;

    if (row->argument != NULL && !row->optional && text == NULL)
        return refuse_missing(row);
    if (text != NULL)
        text = skip_blanks(text);
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)field = row->value;
        return OPTIONS_GO_ON;
    case OPTION_INT:
    case OPTION_U32:
    case OPTION_U64:
        return apply_number(field, row, text);
    case OPTION_REAL:
        return apply_real(field, row, text);
    case OPTION_TEXT:
        return apply_text(field, row, text);
    case OPTION_OTHER:
        return row->set(options, row, text);
    case OPTION_LATER:
        return refuse_later(row);
    case OPTION_NOTHING:
    case OPTION_GROUP:
    case OPTION_ACT:
        return OPTIONS_GO_ON;
    }
    return OPTIONS_GO_ON;
}
