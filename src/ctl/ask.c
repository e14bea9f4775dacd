/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ask.h"

#include <errno.h>

#include "ctl/show.h"

enum ctl_status
ask_open(struct link **link_out, const struct server *server, const struct args *args,
    const struct login *login, char *why)
{
    struct link *link = link_open(server, &args->link, why);

    if (link == NULL)
        return CTL_UNREACHABLE;
    if (!login_say(login, link, why)) {
        enum ctl_status status = CTL_REFUSED;

        if (link_why(link)[0] != '\0') {
            snprintf(why, CTL_WHY_MAX, "%s", link_why(link));
            status = CTL_UNREACHABLE;
        }
        link_close(link);
        return status;
    }
    *link_out = link;
    return CTL_OK;
}

enum ctl_status
ask_failed(const struct args *args, const struct server *server, enum ctl_status status,
    const char *why)
{
    const char *hint = strstr(why, "unauthenticated") != NULL
        ? " (log in with --auth-file)"
        : "";

    if (args->json) {
        struct json json = { .to = stdout };

        ask_json(&json, server);
        json_pair_text(&json, "error", slice_of(why, strlen(why)));
        ask_json_end(&json);
    }
    fflush(stdout);
    ctl_complain("%s: %s%s", server->text, why, hint);
    return status;
}

enum ctl_status
ask_lost(const struct args *args, const struct server *server, const struct link *link)
{
    return ask_failed(args, server, CTL_UNREACHABLE, link_why(link));
}

enum ctl_status
ask_report(struct report *report_out, const struct server *server, const struct args *args,
    const struct login *login, const char *what)
{
    char why[CTL_WHY_MAX];
    struct link *link;
    enum ctl_status status = ask_open(&link, server, args, login, why);

    if (status == CTL_OK) {
        status = report_fetch(report_out, link, what, why);
        link_close(link);
    }
    return status == CTL_OK ? CTL_OK : ask_failed(args, server, status, why);
}

void
ask_json(struct json *json, const struct server *server)
{
    json_begin(json, '{');
    json_pair_text(json, "server", slice_of(server->text, strlen(server->text)));
}

void
ask_json_end(struct json *json)
{
    json_end(json, '}');
    json_line(json);
}

void
ask_heading(const struct args *args, unsigned i)
{
    if (args->n_servers < 2)
        return;
    if (i > 0)
        putchar('\n');
    show_line(stdout,
        slice_of(args->servers[i].text, strlen(args->servers[i].text)));
    puts(":");
}

enum ctl_status
ask_printed(void)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return CTL_OK;
    ctl_complain("cannot write the output: %s", strerror(errno));
    return CTL_IO;
}
