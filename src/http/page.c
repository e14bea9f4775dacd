/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/page.h"

/* Numbers, made from page.html by the rule in src/local.mk. */
const unsigned char page_html[] = {
#include "http/page.inc"
};
const size_t page_html_len = sizeof page_html;
