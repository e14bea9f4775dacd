/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define FILE_MAX (1u << 20)

static bool
parse_entry(struct login *login, struct slice line, const char *user)
{
    const char *colon = memchr(line.data, ':', line.len);
    struct slice name, password;

    if (colon == NULL)
        return false;
    name = slice_of(line.data, (size_t)(colon - line.data));
    password = slice_of(colon + 1, line.len - name.len - 1);
    /* A blank ends the name when it is sent, so a name with one is nobody's. */
    if (name.len == 0 || memchr(name.data, ' ', name.len) != NULL)
        return false;
    if (user != NULL && !slice_equal(name, slice_of(user, strlen(user))))
        return false;
    if (name.len >= sizeof login->user || password.len >= sizeof login->password)
        return false;
    *login = (struct login){ .there = true };
    memcpy(login->user, name.data, name.len);
    memcpy(login->password, password.data, password.len);
    return true;
}

bool
login_parse(struct login *login_out, struct slice text, const char *user)
{
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
        struct slice line = slice_of(text.data, len);

        len += end != NULL;
        text = slice_of(text.data + len, text.len - len);
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (parse_entry(login_out, line, user))
            return true;
    }
    return false;
}

/* The whole file, in memory that is the caller's. */
static char *
read_file(const char *path, size_t *len_out, char *why)
{
    char *text = malloc(FILE_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (text != NULL && fd >= 0)
        while (len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) > 0)
            len += (size_t)n;
    if (text == NULL || fd < 0 || n < 0) {
        snprintf(why, CTL_WHY_MAX, "%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else if (len == FILE_MAX) {
        snprintf(why, CTL_WHY_MAX, "%s: too large for a file of passwords", path);
        free(text);
        text = NULL;
    }
    if (fd >= 0)
        close(fd);
    *len_out = len;
    return text;
}

static bool
from_file(struct login *login, const char *file, const char *user, char *why)
{
    size_t len;
    char *text = read_file(file, &len, why);
    bool found;

    if (text == NULL)
        return false;
    found = login_parse(login, slice_of(text, len), user);
    explicit_bzero(text, len);
    free(text);
    if (!found)
        snprintf(why, CTL_WHY_MAX, "%s: no line \"%.200s:password\"", file,
            user != NULL ? user : "user");
    return found;
}

/* Reads a line from the terminal without showing it. */
static bool
from_terminal(struct login *login, const char *user, char *why)
{
    struct termios usual, silent;
    FILE *terminal = fopen("/dev/tty", "r+e");
    bool read = false;

    if (strlen(user) == 0 || strlen(user) >= sizeof login->user ||
        strchr(user, ' ') != NULL) {
        snprintf(why, CTL_WHY_MAX, "--user: that is no user's name");
    } else if (terminal == NULL || tcgetattr(fileno(terminal), &usual) < 0) {
        snprintf(why, CTL_WHY_MAX, "no password for %.200s, and no terminal to ask at", user);
    } else {
        *login = (struct login){ .there = true };
        memcpy(login->user, user, strlen(user));
        silent = usual;
        /* As getpass() does: a signal would leave the terminal silent. */
        silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
        /* Silence comes before the question: somebody may answer fast. */
        tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
        fprintf(terminal, "Password of %s: ", user);
        fflush(terminal);
        read = fgets(login->password, sizeof login->password, terminal) != NULL;
        tcsetattr(fileno(terminal), TCSAFLUSH, &usual);
        fputs("\n", terminal);
        login->password[strcspn(login->password, "\r\n")] = '\0';
        if (!read)
            snprintf(why, CTL_WHY_MAX, "no password was given");
    }
    if (terminal != NULL)
        fclose(terminal);
    return read;
}

bool
login_find(struct login *login_out, const char *file, const char *user, char *why)
{
    const char *variable = getenv("LARDER_AUTH");

    *login_out = (struct login){ .there = false };
    if (file != NULL)
        return from_file(login_out, file, user, why);
    if (variable != NULL && *variable != '\0') {
        if (login_parse(login_out, slice_of(variable, strlen(variable)), user))
            return true;
        if (user == NULL) {
            snprintf(why, CTL_WHY_MAX, "LARDER_AUTH: not \"user:password\"");
            return false;
        }
    }
    return user == NULL || from_terminal(login_out, user, why);
}

void
login_forget(struct login *login)
{
    explicit_bzero(login, sizeof *login);
}

bool
login_say(const struct login *login, struct link *link, char *why)
{
    size_t len = strlen(login->user) + 1 + strlen(login->password);
    struct slice line;
    char head[64];

    if (!login->there)
        return true;
    link_step(link);
    snprintf(head, sizeof head, "set auth 0 0 %zu\r\n", len);
    if (!link_put_text(link, head) || !link_put_text(link, login->user) ||
        !link_put_text(link, " ") || !link_put_text(link, login->password) ||
        !link_put_text(link, "\r\n") || !link_line(link, &line))
        return false;
    if (slice_equal(line, SLICE("STORED")))
        return true;
    snprintf(why, CTL_WHY_MAX, "logging in as %.200s: %.*s", login->user,
        (int)(line.len < 200 ? line.len : 200), line.data);
    return false;
}
