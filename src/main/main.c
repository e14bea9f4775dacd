/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/options.h"
#include "main/serve.h"

int
main(int argc, char **argv)
{
    struct options options;

    options_init(&options);
    int status = options_parse(&options, argc, argv);
    if (status < 0)
        status = serve(&options);
    options_fini(&options);
    return status;
}
