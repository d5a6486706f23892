/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel: messages between processes of one machine: a SOCK_SEQPACKET socket under an abstract name, datagrams of at
 * most WIRE_MOST bytes, descriptors beside them, and the peer's uid from the kernel.  All sockets are close-on-exec.
 */
#ifndef STINT_CHANNEL_H
#define STINT_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"

#define CHANNEL_NAME 100 /* longest abstract name, its NUL counted */
#define CHANNEL_PATIENCE_MS 100 /* for a place in the queue of a path's listener */
#define CHANNEL_FDS 4    /* most descriptors beside one message */

/*
 * Listens under an abstract name (no leading NUL in `name`).  The descriptor is non-blocking.  EADDRINUSE when taken.
 */
int channel_listen(const char *name, struct stint_error *err);

/* Takes one waiting connection, non-blocking; *uid and *pid are the peer's, from SO_PEERCRED.  -1 with EAGAIN: none. */
int channel_accept(int listener, uid_t *uid, pid_t *pid, struct stint_error *err);

/*
 * Connects; the peer must run as this uid or as root (EPERM otherwise).  *pid receives the peer's.  Blocking
 * descriptor.
 */
int channel_connect(const char *name, pid_t *pid, struct stint_error *err);

/*
 * As channel_listen, on a path, which anybody may connect to.  What lies there must be gone: nothing is removed
 * here.
 */
int channel_listen_path(const char *path, struct stint_error *err);

/*
 * Connects to a path, and waits CHANNEL_PATIENCE_MS at most: EAGAIN when too many wait still, ENOENT or ECONNREFUSED
 * when nobody listens.
 * The peer must run as root, as this uid, or as the owner of the path and keeper of its folder (EPERM otherwise).
 * Non-blocking descriptor.
 */
int channel_connect_path(const char *path, pid_t *pid, struct stint_error *err);

/*
 * Sends one whole message and n_fds descriptors (which stay open here).  0; -1 with EAGAIN when a non-blocking socket
 * is full, EPIPE or ECONNRESET when the peer is gone.  Never raises SIGPIPE.
 */
int channel_send(int fd, const void *message, size_t n, const int *fds, int n_fds, struct stint_error *err);

/*
 * Receives one message into buffer and its descriptors into fds (CHANNEL_FDS places), *n_fds of them.  Answers its
 * size; 0 when the peer has closed; -1 with EAGAIN when there is none, EMSGSIZE (message or descriptors cut off: all
 * descriptors are closed).  fds and n_fds may be NULL where none belong: some that come are EMSGSIZE too, and are never
 * open here.
 */
ssize_t channel_receive(int fd, void *buffer, size_t size, int *fds, int *n_fds, struct stint_error *err);

#define CHANNEL_MANY 253 /* most descriptors that the kernel lets anybody send beside one message */

/*
 * As channel_receive, for who must not close what came, for closing may wait for a filesystem of the sender's: all of it is
 * in fds (CHANNEL_MANY places), *n_fds of them, and the caller's, whatever the answer.
 */
ssize_t channel_receive_many(int fd, void *buffer, size_t size, int *fds, int *n_fds, struct stint_error *err);

/*
 * Waits until fd is readable, at most timeout_ns (CLOCK_NEVER: as long as it takes): 1 readable or closed, 0 time is
 * up.
 */
int channel_wait(int fd, int64_t timeout_ns);

/* A memfd of that size, zeroed, that can neither shrink nor grow.  -1 with the reason. */
int channel_memory(const char *label, size_t bytes, struct stint_error *err);

/* 0 when fd is such memory (seals SHRINK and GROW) of at least `bytes` bytes, else -1 with EPERM or EMSGSIZE. */
int channel_memory_check(int fd, uint64_t bytes, struct stint_error *err);

#endif
