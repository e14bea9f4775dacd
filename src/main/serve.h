/* SPDX-License-Identifier: BSD-3-Clause */
/* serve.h - a whole server, from options to the last reply. */
#ifndef LARDER_MAIN_SERVE_H
#define LARDER_MAIN_SERVE_H

#include "base/options.h"

/* Sets up the process, wires the layers together and serves until a signal ends it.
 * Returns the status to exit with. May lower options->connections_max. */
int serve(struct options *options);

#endif
