/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server: the door, and everyone who came in: takes connections within the limits of each user and of all, and lets
 * users speak again who said too much.  Set up by main.
 */
#ifndef STINTD_SERVER_H
#define STINTD_SERVER_H

#include <uv.h>
#include "door.h"
#include "peer.h"
#include "settings.h"
#include "users.h"

struct stintd;

struct server {
        struct stintd *daemon; /* whom requests.c serves */
        uv_loop_t *loop;
        const struct settings *settings;
        struct door door;
        uv_poll_t listener;
        int listener_fd; /* -1: takes no more */
        uv_timer_t rest; /* until connections are taken again, after the kernel had no descriptor left */
        uv_timer_t again; /* while somebody is paused */
        uv_timer_t greet; /* while somebody has not said what it wants */
        struct users users;
        struct peer *first;
        int64_t connections;
};

int server_open(struct server *s, uv_loop_t *loop, const struct settings *settings, const char *path,
                struct stintd *daemon, struct stint_error *err);

/* Closes everything that is open. */
void server_close(struct server *s);

/* For peer.c. */
uv_loop_t *server_loop(const struct server *s);
int64_t server_jobs_most(const struct server *s);
int server_lets_speak(struct server *s, struct user *user);
void server_peer_closed(struct server *s, struct peer *p);

#endif
