/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/screen.h"

#include <stdlib.h>
#include <unistd.h>

#include "config.h"

#ifdef HAVE_NCURSES

#include <curses.h>
#include <term.h>
/* Its names for capabilities are ours for sizes. */
#undef columns
#undef lines

bool
screen_there(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool
screen_open(void)
{
    int error;

    /* initscr() would end the program where the terminal is not known, and newterm() loses
     * some memory then. */
    if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
        return false;
    del_curterm(cur_term);
    if (newterm(NULL, stdout, stdin) == NULL)
        return false;
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    return true;
}

void
screen_close(void)
{
    endwin();
}

void
screen_size(unsigned *rows, unsigned *columns)
{
    *rows = (unsigned)getmaxy(stdscr);
    *columns = (unsigned)getmaxx(stdscr);
}

static attr_t
attributes(enum page_style style)
{
    switch (style) {
    case PAGE_TITLE:
        return A_REVERSE;
    case PAGE_HEADER:
        return A_BOLD | A_UNDERLINE;
    case PAGE_WARNING:
        return A_BOLD;
    case PAGE_PLAIN:
        break;
    }
    return A_NORMAL;
}

void
screen_draw(const struct page *page)
{
    erase();
    for (unsigned i = 0; i < page->used; i++) {
        attrset((int)attributes(page->styles[i]));
        mvaddnstr((int)i, 0, page->lines[i], (int)page->columns);
        if (page->styles[i] == PAGE_TITLE || page->styles[i] == PAGE_HEADER)
            for (int x = (int)strlen(page->lines[i]); x < (int)page->columns; x++)
                mvaddch((int)i, x, ' ');
    }
    attrset(A_NORMAL);
    refresh();
}

int
screen_key(void)
{
    int key = getch();

    if (key == KEY_RESIZE)
        return SCREEN_RESIZED;
    return key == ERR || key > 0x7e || key < ' ' ? SCREEN_NOTHING : key;
}

#else

bool
screen_there(void)
{
    return false;
}

bool
screen_open(void)
{
    return false;
}

void
screen_close(void)
{
}

void
screen_size(unsigned *rows, unsigned *columns)
{
    *rows = 24;
    *columns = 80;
}

void
screen_draw(const struct page *page)
{
    (void)page;
}

int
screen_key(void)
{
    return SCREEN_NOTHING;
}

#endif
