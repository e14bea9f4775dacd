/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "base/authfile.h"
#include "base/options.h"
#include "main/process.h"
#include "main/serve.h"
#include "net/tls.h"

/* What can be known without becoming the server: that its files can be read. */
static int
check_config(const struct options *options)
{
    char why[AUTHFILE_WHY_MAX];

    if (options->auth_file != NULL) {
        struct authfile *authfile = authfile_open(options->auth_file, why);
        if (authfile == NULL) {
            fprintf(stderr, "%s\n", why);
            return STATUS_USAGE;
        }
        authfile_close(authfile);
    }
    if (options->tls) {
        char tls_why[TLS_WHY_MAX];
        struct tls *tls = tls_create(options, tls_why);
        if (tls == NULL) {
            fprintf(stderr, "%s\n", tls_why);
            return STATUS_USAGE;
        }
        tls_destroy(tls);
    }
    options_print(options);
    return fflush(stdout) == 0 ? 0 : STATUS_USAGE;
}

int
main(int argc, char **argv)
{
    struct options options;

    options_init(&options);
    int status = options_parse(&options, argc, argv);
    if (status < 0 && options.check_config)
        status = check_config(&options);
    else if (status < 0)
        status = serve(&options);
    options_fini(&options);
    return status;
}
