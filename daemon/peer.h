/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer: one connection: who is at its other end, as the kernel says, messages in at the pace that its user may have,
 * messages out with a queue, and the moment when it is gone.  What is said is for requests.c.
 */
#ifndef STINTD_PEER_H
#define STINTD_PEER_H

#include <sys/types.h>
#include <uv.h>
#include "error.h"
#include "letters.h"
#include "users.h"
#include "whose.h"
#include "wire.h"

struct server;
struct jobs_entry;
struct grant;

/* What the first message made of a connection. */
enum peer_kind { PEER_FRESH = 0, PEER_AGENT, PEER_MEMORY, PEER_VERB };

struct peer {
        uv_poll_t poll;
        struct peer *next;
        struct server *server;
        struct user *user;
        int fd;    /* -1 once it is closed */
        int pidfd; /* of the process that connected; -1 where the kernel has none */
        uid_t uid;
        pid_t pid;
        int64_t since_ns;
        int paused; /* its user has said too much: read again by server's timer */
        enum peer_kind kind;
        struct letters letters;

        struct whose_question question; /* of requests.c, as what follows */
        struct jobs_entry *job;         /* of an agent */
        struct grant *grant;            /* of a connection for memory */
        uint64_t memory_bytes;          /* that it asked for, until that is decided */
        struct wire_daemon_find wanted; /* which snapshot it asked for, until that is decided */
};

/*
 * Watches an accepted connection.  -1 with the reason, and fd is closed then.  The struct is freed after peer_close.
 */
int peer_open(struct peer *p, struct server *server, int fd, struct stint_error *err);

/* Whether the process that connected still lives; so its id still is its own. */
int peer_lives(const struct peer *p);

/* Sends a message, with a descriptor beside it unless fd is -1 (it stays open here). */
void peer_send(struct peer *p, const void *message, int fd);

/* Says why, and closes. */
void peer_refuse(struct peer *p, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Its user may speak again. */
void peer_resume(struct peer *p);

void peer_close(struct peer *p);

#endif
