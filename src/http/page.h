/* SPDX-License-Identifier: BSD-3-Clause */
/* page.h - the status page, as page.html has it; the build embeds it. */
#ifndef LARDER_HTTP_PAGE_H
#define LARDER_HTTP_PAGE_H

#include <stddef.h>

/* What stands in the page where its scripts and styles have to name the nonce of the
 * answer that they came with. */
#define PAGE_NONCE "@NONCE@"

extern const unsigned char page_html[];
extern const size_t page_html_len;

#endif
