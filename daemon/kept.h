/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kept: snapshots whose job is gone and whose memory nobody else wants yet, so that the next stint on this node has its
 * state without reading a disk.  Within the budget, as their user's; the first to go when memory is wanted.  What is in
 * them is not stintd's business: whoever is given one checks it against the seal of its file.  Part of grants.
 */
#ifndef STINTD_KEPT_H
#define STINTD_KEPT_H

#include <uv.h>
#include "settings.h"
#include "users.h"
#include "wire.h"

struct grant;

struct kept {
        uv_timer_t timer; /* the next to go */
        const struct settings *settings;
        struct grant *first; /* the newest */
        void (*release)(struct grant *grant);
};

void kept_open(struct kept *k, uv_loop_t *loop, const struct settings *settings, void (*release)(struct grant *grant));

/* Keeps a grant that has an image and no peer, or releases it at once. */
void kept_add(struct kept *k, struct grant *grant);

/* This user's snapshot of that name, or NULL. */
struct grant *kept_find(const struct kept *k, const struct user *user, const struct wire_daemon_find *wanted);

/* It is somebody's again. */
void kept_take(struct kept *k, struct grant *grant);

/* Bytes that are kept, of this user or, with NULL, of all. */
int64_t kept_bytes(const struct kept *k, const struct user *user);

/* Releases the oldest one, of this user or, with NULL, of all.  0 when there is none. */
int kept_drop(struct kept *k, const struct user *user);

void kept_close(struct kept *k);

#endif
