/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/watch.h"

#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/show.h"

/* Takes the next word of a line that has blanks between and maybe at its end. */
static bool
next_pair(struct slice *line, struct slice *name, struct slice *value)
{
    const char *blank = memchr(line->data, ' ', line->len), *equals;
    size_t len = blank != NULL ? (size_t)(blank - line->data) : line->len;

    equals = memchr(line->data, '=', len);
    if (equals == NULL || equals == line->data)
        return false;
    *name = slice_of(line->data, (size_t)(equals - line->data));
    *value = slice_of(equals + 1, len - name->len - 1);
    len += blank != NULL;
    *line = slice_of(line->data + len, line->len - len);
    return true;
}

static bool
all_pairs(struct slice line)
{
    struct slice name, value;

    if (line.len == 0)
        return false;
    while (line.len > 0)
        if (!next_pair(&line, &name, &value))
            return false;
    return true;
}

void
watch_json(struct json *json, struct slice line)
{
    struct slice name, value;

    json_begin(json, '{');
    if (!all_pairs(line)) {
        json_pair_text(json, "line", line);
        line.len = 0;
    }
    while (line.len > 0 && next_pair(&line, &name, &value)) {
        json_name(json, name);
        if (slice_equal(name, SLICE("key")))
            json_escaped(json, value);
        else
            json_word(json, value);
    }
    json_end(json, '}');
    json_line(json);
}

static enum ctl_status
show_events(const struct args *args, struct link *link)
{
    const struct server *server = &args->servers[0];
    struct json json = { .to = stdout };
    enum ctl_status status = CTL_OK;
    struct slice line;

    for (uint32_t n = 0; status == CTL_OK && (args->count == 0 || n < args->count); n++) {
        link_patience(link);
        if (!link_line(link, &line))
            return ask_lost(args, server, link);
        if (args->json) {
            watch_json(&json, line);
        } else {
            show_line(stdout, line);
            putchar('\n');
        }
        if (!link_has_line(link))
            status = ask_printed();
    }
    return ctl_worse(status, ask_printed());
}

/* Sends the command and reads its OK. */
static enum ctl_status
begin(const struct args *args, struct link *link, char *why)
{
    struct slice line;
    bool good;

    link_step(link);
    good = link_put_text(link, "watch");
    for (int i = 0; i < args->n_words && good; i++)
        good = link_put_text(link, " ") && link_put_text(link, args->words[i]);
    if (!good || !link_put_text(link, "\r\n") || !link_line(link, &line)) {
        snprintf(why, CTL_WHY_MAX, "%s", link_why(link));
        return CTL_UNREACHABLE;
    }
    if (slice_equal(line, SLICE("OK")))
        return CTL_OK;
    snprintf(why, CTL_WHY_MAX, "%.*s", (int)(line.len < 200 ? line.len : 200), line.data);
    return CTL_REFUSED;
}

enum ctl_status
watch_run(const struct args *args, const struct login *login)
{
    const struct server *server = &args->servers[0];
    char why[CTL_WHY_MAX];
    struct link *link;
    enum ctl_status status;

    for (int i = 0; i < args->n_words; i++) {
        if (!show_is_word(slice_of(args->words[i], strlen(args->words[i])))) {
            ctl_complain("watch: a stream is named by one word");
            return CTL_USAGE;
        }
    }
    status = ask_open(&link, server, args, login, why);
    if (status != CTL_OK)
        return ask_failed(args, server, status, why);
    status = begin(args, link, why);
    if (status == CTL_OK)
        status = show_events(args, link);
    else
        ask_failed(args, server, status, why);
    link_close(link);
    return status;
}
