/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * users: what each user has of stintd at the moment: connections, staging, and how much he may say.  One user's noise
 * must not keep stintd from another's deadline.
 */
#ifndef STINTD_USERS_H
#define STINTD_USERS_H

#include <stdint.h>
#include <sys/types.h>

struct user {
        struct user *next;
        uid_t uid;
        int64_t connections;
        int64_t staging_bytes;
        int64_t handed;    /* writes that were handed over and whose descriptors stintd still has */
        int64_t credit_ns; /* time that he may still spend on messages */
        int64_t lines_ns;  /* ... and on lines in the log */
        int64_t seen_ns;   /* when both were counted */
        int64_t said_ns;   /* when the log last said something about him; 0: never */
};

struct users {
        struct user *first;
};

/*
 * The user with this uid, made when there is none; NULL without memory.  Who has nothing here any more is forgotten only
 * a minute after he was last heard: whoever has said too much cannot begin anew by coming again.
 */
struct user *users_get(struct users *users, uid_t uid, int64_t now_ns);

/* At the end, when nobody has anything here. */
void users_free(struct users *users);

/* Whether a change of state of a job of his may be a line in the log: ten in a second, a minute's worth at once. */
int user_may_log(struct user *user, int64_t now_ns);

/* Whether the log may say something about him: once a minute, so that he cannot fill it. */
int user_may_be_named(struct user *user, int64_t now_ns);

/*
 * Whether the user may say one message more, of so many in a second; counts it when he may.  Two seconds' worth may
 * come at once.
 */
int user_speaks(struct user *user, int64_t per_second, int64_t now_ns);

#endif
