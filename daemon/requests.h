/* SPDX-License-Identifier: GPL-2.0-or-later */
/* requests: what a peer's message means, and whether it may ask for that.  peer.c brings messages. */
#ifndef STINTD_REQUESTS_H
#define STINTD_REQUESTS_H

#include "peer.h"

/* A message that wire_check found whole. */
void requests_message(struct peer *p, const struct wire_header *m);

/* Whether descriptors may come with its next message; others' are dropped by the kernel. */
int requests_take_descriptors(const struct peer *p);

/* A HANDOVER and what came with it, which is no longer the caller's; and such as nobody asked for. */
void requests_handover(struct peer *p, const struct wire_daemon_handover *m, const int *fds, int n_fds);
void requests_drop_descriptors(struct peer *p, const int *fds, int n_fds);

/* A message on the line of a memory was cut off, or came with descriptors while none are taken. */
void requests_cannot_take(struct peer *p);

/* Its connection is being closed: what it had is given back. */
void requests_gone(struct peer *p);

#endif
