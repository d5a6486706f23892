/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stranger: how the sockets of one user bear the visits of others.  An abstract name is no secret and has no mode, so
 * anybody may knock, as often as a processor lets him.  He is sent away before a byte of his is read, is spoken of once,
 * and the door rests for a moment after him: what he costs stays small, and whoever belongs here is still let in.
 */
#ifndef STINT_STRANGER_H
#define STINT_STRANGER_H

#include <sys/types.h>

#define STRANGER_AT_ONCE 16 /* visitors that one turn of the loop sees to: everything else has its turn in between */
#define STRANGER_REST_MS 5  /* no visitor is taken for so long after a stranger; a queue that he filled is through in 2 s */
#define STRANGERS_NAMED 8   /* who comes under more uids than these needs no line for each */

struct strangers {
        uid_t uid[STRANGERS_NAMED];
        int count;
};

/* Whether this door serves that uid: its owner's, and root's. */
int stranger_is(uid_t uid);

/* 1 the first time for each uid, up to STRANGERS_NAMED of them; else 0. */
int strangers_news(struct strangers *s, uid_t uid);

#endif
