/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session: the connection between this process and its agent, which reach.c makes: sending, receiving, and what is left
 * when it breaks.  Nothing here knows what a save is; what arrives waits in the inbox until a safe point, a restore or
 * the end takes it.  While there is no agent, ->page is a page of our own in
 * which nothing is ever wanted, so that whoever loads a word from it need not ask.
 */
#ifndef STINT_SESSION_H
#define STINT_SESSION_H

#include <stdint.h>
#include "channel.h"
#include "clock.h"
#include "control.h"
#include "error.h"
#include "wire.h"

#define SESSION_LOOK_NS (250 * CLOCK_MS) /* how often a safe point asks the socket whether the agent is still there */

/* What came and nobody has taken yet; each kind keeps the newest.  A taker clears `has`, and owns the descriptor. */
struct session_inbox {
        int has_image, has_ahead, has_stream, has_refused_layout, has_no_save, has_completed;
        int image_fd, ahead_fd, table_fd, stream_fd, places_fd, window_fd; /* -1: none */
        uint64_t ahead_bytes;
        struct session_staging {
                int has, fd; /* fd -1: none */
                struct wire_staging told;
        } staging[STAGING_IMAGES];
        struct wire_places places; /* with places_fd */
        struct wire_window window; /* with window_fd */
        struct wire_restore_image image;
        uint32_t saved_ranks; /* of the image, where those were others; 0: as many as there are now */
        struct wire_restore_table table; /* what the stream will be of */
        struct wire_restore_stream stream;
        struct wire_layout_refused refused_layout;
        struct wire_result no_save; /* RESULT with save_id 0 */
        struct wire_completed completed;
        uint32_t wake_id,
                wakes; /* the save that the agent asked for last, and how often: the second time is another attempt */
};

struct session {
        struct control_page idle; /* what ->page points to without an agent; first, for its alignment */
        struct control_page *page;
        int fd;                   /* -1: no agent now */
        int off;                  /* 1: there will be none: no trying again */
        int forked;               /* 1: this is a child's copy of its parent's session; it is nobody's */
        uint32_t mail;            /* the mail counter up to which the socket was read */
        uint32_t connects;        /* how often an agent has welcomed us */
        uint32_t over_id;         /* saves up to this one were over when it did */
        uint32_t takes;           /* what the agent knows beyond what all do: WELCOME_TAKES_... */
        uint32_t stint;           /* which stint of the run the agent says this is */
        int64_t look_ns;          /* when to look at the socket next, whatever the mail counter says */
        int64_t retry_ns, backoff_ns;
        int solo, respawns; /* no `stint run` around us: the coordinator is ours, and was started that often again */
        int rank, ranks, agree_every;
        char agent[CHANNEL_NAME]; /* where it listens */
        char dir[1024];           /* the run directory, as the agent says */
        char wanted_dir[1024];    /* as the program says */
        struct wire_devices seen; /* what this process saw when the session began; told to every agent */
        struct session_inbox inbox;
        void (*on_result)(void *arg, const struct wire_result *result); /* of a save that has an id */
        void *on_result_arg;
        stint_log_fn *log;
        void *log_arg;
        struct session *next;     /* of all sessions of this process; see session_child */
};

/*
 * Finds an agent, or starts one, and says HELLO.  Never fails: without an agent it says so in one line and ->off is
 * set. The options have been checked; rank and agree_every are those of the agreement.
 */
void session_open(struct session *s, const struct stint_options *options, int rank, int ranks, int agree_every);

/* A session without an agent, from the beginning; and from now on. */
void session_open_off(struct session *s, const struct stint_options *options);
void session_give_up(struct session *s);

/* Says BYE, when there is somebody, and lets go of everything. */
void session_close(struct session *s, int64_t step, int stopped);

static inline int session_usable(const struct session *s)
{
        return s->fd >= 0;
}

/* Sends a message and a descriptor (-1: none).  A connection that breaks is closed here, and said once. */
int session_send(struct session *s, const void *message, size_t n, int fd, struct stint_error *err);

/* At a safe point: reads what has come, when something may have; tries to reach the agent again, when it is time. */
void session_attend(struct session *s, int64_t now_ns);

/* Reads what the mail counter says has come, and does nothing else. */
void session_peek(struct session *s);

/* Reads until done(arg) answers 1, until that time, or until the connection breaks: 1, 0, or -1 with ENOTCONN. */
int session_await(struct session *s, int (*done)(void *arg), void *arg, int64_t until_ns, struct stint_error *err);

/*
 * For reach.c, while there is nobody yet for whom the connection could be lost.  Sending leaves a broken one open.
 * Receiving gives one message, checked, with at most one descriptor: 1, 0 when there is none now, -1 when it broke.
 */
int session_post(struct session *s, const void *message, size_t n, int fd, struct stint_error *err);
int session_receive(struct session *s, void *message, size_t size, int *fd, struct stint_error *err);
void session_hang_up(struct session *s);

/* One line to the program's log callback. */
void session_log(const struct session *s, enum stint_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

#endif
