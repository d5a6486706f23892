/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel: SOCK_SEQPACKET sockets under abstract names, and memory to hand through them.  libstint and the agent talk
 * over one, verbs and `stint run` over another, `stint run` and the local scheduler over a third.  An abstract name
 * needs no file to clean up, and belongs to nobody: so each side asks the kernel who the other is.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "wire.h"

#define CHANNEL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Room for CHANNEL_FDS descriptors beside a message, aligned as the kernel wants it. */
union channel_control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
};

/* Fails with errno `code`, having closed fd, and leaves the code in errno too. */
static int close_and_fail(int fd, int code, struct stint_error *err, const char *what, const char *name)
{
        close(fd);
        error_system(err, code, "cannot %s the socket '%s'", what, name);
        errno = code;
        return -1;
}

static int fail(struct stint_error *err, int code, const char *what)
{
        error_system(err, code, "cannot %s", what);
        errno = code;
        return -1;
}

/* The address of an abstract name: a NUL, then the name, and no NUL behind it. */
static int address_of(const char *name, struct sockaddr_un *address, socklen_t *size, struct stint_error *err)
{
        size_t n = strlen(name);

        if (n == 0 || n >= CHANNEL_NAME) {
                error_set(err, EINVAL, "a socket name has 1 to %d bytes, not %zu", CHANNEL_NAME - 1, n);
                errno = EINVAL;
                return -1;
        }
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(address->sun_path + 1, name, n);
        *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
        return 0;
}

int channel_listen(const char *name, struct stint_error *err)
{
        struct sockaddr_un address;
        socklen_t size;
        int fd;

        if (address_of(name, &address, &size, err) < 0)
                return -1;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return fail(err, errno, "make a socket");
        if (bind(fd, (struct sockaddr *)&address, size) < 0)
                return close_and_fail(fd, errno, err, "bind", name);
        if (listen(fd, SOMAXCONN) < 0)
                return close_and_fail(fd, errno, err, "listen on", name);
        return fd;
}

static int peer_of(int fd, struct ucred *peer)
{
        socklen_t size = sizeof *peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size);
}

int channel_accept(int listener, uid_t *uid, pid_t *pid, struct stint_error *err)
{
        struct ucred peer;
        int fd;

        do
                fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
        if (fd < 0)
                return fail(err, errno == EWOULDBLOCK ? EAGAIN : errno, "take a connection");
        if (peer_of(fd, &peer) < 0)
                return close_and_fail(fd, errno, err, "learn who is at the other end of", "accepted");
        if (uid)
                *uid = peer.uid;
        if (pid)
                *pid = peer.pid;
        return fd;
}

int channel_connect(const char *name, pid_t *pid, struct stint_error *err)
{
        struct sockaddr_un address;
        struct ucred peer;
        socklen_t size;
        int fd, rc;

        if (address_of(name, &address, &size, err) < 0)
                return -1;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return fail(err, errno, "make a socket");
        do
                rc = connect(fd, (struct sockaddr *)&address, size);
        while (rc < 0 && errno == EINTR);
        if (rc < 0)
                return close_and_fail(fd, errno, err, "connect to", name);
        if (peer_of(fd, &peer) < 0)
                return close_and_fail(fd, errno, err, "learn who is at the other end of", name);
        /* Anyone may bind an abstract name first; a state is not handed to a stranger. */
        if (peer.uid != geteuid() && peer.uid != 0) {
                close(fd);
                error_set(err, EPERM,
                          "the socket '%s' belongs to uid %u, not to this user (uid %u): nothing is sent to it", name,
                          (unsigned)peer.uid, (unsigned)geteuid());
                errno = EPERM;
                return -1;
        }
        if (pid)
                *pid = peer.pid;
        return fd;
}

/* ---- under a path ---- */

static int address_of_path(const char *path, struct sockaddr_un *address, struct stint_error *err)
{
        size_t n = strlen(path);

        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (n == 0 || n >= sizeof address->sun_path) {
                error_set(err, ENAMETOOLONG, "the path of a socket has 1 to %zu bytes, and '%.60s...' has %zu",
                          sizeof address->sun_path - 1, path, n);
                errno = ENAMETOOLONG;
                return -1;
        }
        memcpy(address->sun_path, path, n);
        return 0;
}

int channel_listen_path(const char *path, struct stint_error *err)
{
        struct sockaddr_un address;
        int fd;

        if (address_of_path(path, &address, err) < 0)
                return -1;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return fail(err, errno, "make a socket");
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return close_and_fail(fd, errno, err, "bind", path);
        /* Before listen(2) nobody can connect, so nobody is turned away by a mode that the umask made. */
        if (chmod(path, 0666) < 0)
                return close_and_fail(fd, errno, err, "open to everybody", path);
        if (listen(fd, SOMAXCONN) < 0)
                return close_and_fail(fd, errno, err, "listen on", path);
        return fd;
}

/* 1 when nobody but root and that user can put a socket at the path: where others can, its owner is just anybody. */
static int is_kept_by(const char *path, uid_t uid)
{
        char folder[sizeof((struct sockaddr_un *)0)->sun_path];
        struct stat st;
        char *slash;

        snprintf(folder, sizeof folder, "%s", path);
        slash = strrchr(folder, '/');
        if (slash == NULL)
                strcpy(folder, ".");
        else
                slash[slash == folder ? 1 : 0] = '\0';
        return stat(folder, &st) == 0 && (st.st_uid == 0 || st.st_uid == uid) && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Whoever owns the path was let into its folder by an admin; anyone else who answers there is an impostor. */
static int check_listener(int fd, const char *path, struct ucred *peer, struct stint_error *err)
{
        struct stat st;

        if (peer_of(fd, peer) < 0)
                return error_system(err, errno, "cannot learn who listens on '%s'", path);
        if (peer->uid == 0 || peer->uid == geteuid())
                return 0;
        if (!is_kept_by(path, peer->uid))
                return error_set(err, EPERM,
                                 "'%s' is listened on by uid %u, and others than root and that user may write into its "
                                 "folder: nothing is sent to it",
                                 path, (unsigned)peer->uid);
        if (stat(path, &st) == 0 && st.st_uid == peer->uid)
                return 0;
        return error_set(err, EPERM, "'%s' is listened on by uid %u, who does not own it: nothing is sent to it", path,
                         (unsigned)peer->uid);
}

int channel_connect_path(const char *path, pid_t *pid, struct stint_error *err)
{
        const struct timeval patience = { .tv_usec = CHANNEL_PATIENCE_MS * 1000 };
        struct sockaddr_un address;
        struct ucred peer;
        int fd, rc, code;

        if (address_of_path(path, &address, err) < 0)
                return -1;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return fail(err, errno, "make a socket");
        /* Who waits for a place in the listener's queue gets the next one; who only tries may never have one. */
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        do
                rc = connect(fd, (struct sockaddr *)&address, sizeof address);
        while (rc < 0 && errno == EINTR);
        if (rc < 0)
                return close_and_fail(fd, errno, err, "connect to", path);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (check_listener(fd, path, &peer, err) < 0) {
                code = errno;
                close(fd);
                errno = code;
                return -1;
        }
        if (pid)
                *pid = peer.pid;
        return fd;
}

/* ---- messages ---- */

int channel_send(int fd, const void *message, size_t n, const int *fds, int n_fds, struct stint_error *err)
{
        union channel_control control = { .bytes = { 0 } };
        struct iovec part = { .iov_base = (void *)(uintptr_t)message, .iov_len = n };
        struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
        ssize_t sent;

        /* A message without bytes would look like the end of the connection. */
        if (n == 0 || n_fds < 0 || n_fds > CHANNEL_FDS)
                return fail(err, EINVAL, "send a message without bytes, or with that many descriptors");
        if (n > WIRE_MOST)
                return fail(err, EMSGSIZE, "send a message");
        if (n_fds > 0) {
                m.msg_control = control.bytes;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * (size_t)n_fds);
        }
        do
                sent = sendmsg(fd, &m, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
                return fail(err, errno == EWOULDBLOCK ? EAGAIN : errno, "send a message");
        return 0;
}

/* Gathers the descriptors that came, `most` of them: there is room for no more. */
static int gather(struct msghdr *m, int *fds, int most)
{
        struct cmsghdr *c;
        int count = 0;

        for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                if (n > (size_t)(most - count))
                        n = (size_t)(most - count);
                memcpy(fds + count, CMSG_DATA(c), n * sizeof(int));
                count += (int)n;
        }
        return count;
}

static void close_all(const int *fds, int n)
{
        int i;

        for (i = 0; i < n; i++)
                close(fds[i]);
}

/* Without a place for descriptors the kernel drops them, and says that something was cut off. */
static ssize_t receive(int fd, struct iovec *part, void *control, size_t control_bytes, struct msghdr *m,
                       struct stint_error *err)
{
        ssize_t n;

        /* A peer that went away without reading everything makes one ECONNRESET; what it had sent is read after that.
         */
        do {
                *m = (struct msghdr){ .msg_iov = part, .msg_iovlen = 1 };
                m->msg_control = control_bytes ? control : NULL;
                m->msg_controllen = control_bytes;
                n = recvmsg(fd, m, MSG_CMSG_CLOEXEC);
        } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
        return n < 0 ? fail(err, errno == EWOULDBLOCK ? EAGAIN : errno, "receive a message") : n;
}

static int cut_off(const struct msghdr *m, struct stint_error *err)
{
        error_set(err, EMSGSIZE, "%s",
                  m->msg_flags & MSG_TRUNC
                          ? "a message came that is longer than any of stint"
                          : "more descriptors came with a message than belong there, or than can be open");
        errno = EMSGSIZE;
        return -1;
}

ssize_t channel_receive(int fd, void *buffer, size_t size, int *fds, int *n_fds, struct stint_error *err)
{
        union channel_control control;
        struct iovec part = { .iov_base = buffer, .iov_len = size };
        struct msghdr m;
        int got[CHANNEL_FDS], count;
        ssize_t n = receive(fd, &part, control.bytes, fds && n_fds ? sizeof control.bytes : 0, &m, err);

        if (n_fds)
                *n_fds = 0;
        if (n < 0)
                return -1;
        count = gather(&m, got, CHANNEL_FDS);
        if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
                close_all(got, count);
                return cut_off(&m, err);
        }
        if (n == 0) {
                close_all(got, count);
                return 0;
        }
        if (count > 0) {
                memcpy(fds, got, sizeof(int) * (size_t)count);
                *n_fds = count;
        }
        return n;
}

ssize_t channel_receive_many(int fd, void *buffer, size_t size, int *fds, int *n_fds, struct stint_error *err)
{
        union {
                struct cmsghdr header; /* aligns it */
                unsigned char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_MANY)];
        } control;
        struct iovec part = { .iov_base = buffer, .iov_len = size };
        struct msghdr m;
        ssize_t n = receive(fd, &part, control.bytes, sizeof control.bytes, &m, err);

        *n_fds = n < 0 ? 0 : gather(&m, fds, CHANNEL_MANY);
        if (n >= 0 && (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return cut_off(&m, err);
        return n;
}

int channel_wait(int fd, int64_t timeout_ns)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t begun = clock_now();
        int64_t left;

        if (timeout_ns < 0)
                timeout_ns = 0;
        left = timeout_ns;
        for (;;) {
                struct timespec t = { .tv_sec = (time_t)(left / CLOCK_SECOND), .tv_nsec = (long)(left % CLOCK_SECOND) };
                int n = ppoll(&p, 1, timeout_ns == CLOCK_NEVER ? NULL : &t, NULL);

                /* What ppoll cannot say, the read that follows will. */
                if (n > 0 || (n < 0 && errno != EINTR))
                        return 1;
                if (timeout_ns == CLOCK_NEVER)
                        continue;
                left = timeout_ns - (clock_now() - begun);
                if (left <= 0)
                        return 0;
        }
}

int channel_memory(const char *label, size_t bytes, struct stint_error *err)
{
        int fd, code;

        if (bytes > INT64_MAX)
                return fail(err, EFBIG, "make shared memory of that size");
        fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return fail(err, errno, "make shared memory");
        if (ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, CHANNEL_SEALS) == 0)
                return fd;
        code = errno;
        close(fd);
        error_system(err, code, "cannot make shared memory '%s' of %zu bytes", label, bytes);
        errno = code;
        return -1;
}

int channel_memory_check(int fd, uint64_t bytes, struct stint_error *err)
{
        struct stat st;
        int seals = fcntl(fd, F_GET_SEALS);

        /* Without both seals its size could change under whoever has it mapped, which is a SIGBUS. */
        if (seals < 0 || (seals & CHANNEL_SEALS) != CHANNEL_SEALS) {
                error_set(err, EPERM, "a descriptor came that is no memory of fixed size");
                errno = EPERM;
                return -1;
        }
        if (fstat(fd, &st) < 0)
                return fail(err, errno, "learn the size of shared memory");
        if ((uint64_t)st.st_size < bytes) {
                error_set(err, EMSGSIZE, "shared memory of %" PRId64 " bytes came where %" PRIu64 " are needed",
                          (int64_t)st.st_size, bytes);
                errno = EMSGSIZE;
                return -1;
        }
        return 0;
}
