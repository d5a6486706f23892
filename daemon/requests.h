/* SPDX-License-Identifier: GPL-2.0-or-later */
/* requests: what a peer's message means, and whether it may ask for that.  peer.c brings messages. */
#ifndef STINTD_REQUESTS_H
#define STINTD_REQUESTS_H

#include "peer.h"

/* A message that wire_check found whole. */
void requests_message(struct peer *p, const struct wire_header *m);

/* Its connection is being closed: what it had is given back. */
void requests_gone(struct peer *p);

#endif
