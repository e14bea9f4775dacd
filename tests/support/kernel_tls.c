/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernel_tls.c - a library for LD_PRELOAD that stands for a kernel that encrypts what is
 * sent; for tests only, since the kernels that these run on may not.
 *
 * It agrees when OpenSSL hands it a socket's keys, and then does not encrypt: what is sent
 * as data arrives as it is, and a test can compare it. Messages that are no data, which
 * come with a control part, are swallowed. Receiving stays with OpenSSL, as it does with
 * many kernels. With KERNEL_TLS=refuse in the environment it agrees to the module and
 * refuses each cipher.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#define SEND_KEYS 1 /* TLS_TX of linux/tls.h */
#define FDS_MAX 4096

static _Atomic char trusted[FDS_MAX]; /* sockets that "the kernel" encrypts for */

static ssize_t
length_of(const struct msghdr *message)
{
    size_t len = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        len += message->msg_iov[i].iov_len;
    return (ssize_t)len;
}

int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    const char *how = getenv("KERNEL_TLS");

    if (level == IPPROTO_TCP && name == TCP_ULP)
        return 0;
    if (level != SOL_TLS || fd < 0 || fd >= FDS_MAX)
        return next(fd, level, name, value, len);
    if (name != SEND_KEYS || (how != NULL && strcmp(how, "refuse") == 0)) {
        errno = ENOPROTOOPT;
        return -1;
    }
    trusted[fd] = 1;
    return 0;
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t (*next)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");

    if (fd >= 0 && fd < FDS_MAX && trusted[fd] && message->msg_controllen > 0)
        return length_of(message);
    return next(fd, message, flags);
}

int
close(int fd)
{
    int (*next)(int) = dlsym(RTLD_NEXT, "close");

    if (fd >= 0 && fd < FDS_MAX)
        trusted[fd] = 0;
    return next(fd);
}
