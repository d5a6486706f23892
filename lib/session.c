/* SPDX-License-Identifier: BSD-3-Clause */
/* session: the connection to the agent.  Safe points, restore and the public functions call in. */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reach.h"
#include "seen.h"

#define SEND_NS (5 * CLOCK_SECOND) /* an agent that has not read for so long will not */
#define LOG_LINE 1000

/* ---- saying --------------------------------------------------------------------------------------------------- */

void session_log(const struct session *s, enum stint_log_level level, const char *format, ...)
{
        char line[LOG_LINE];
        va_list arguments;

        if (!s->log)
                return;
        va_start(arguments, format);
        vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        s->log(s->log_arg, level, line);
}

/* ---- a child of the program ----------------------------------------------------------------------------------- */

/*
 * A process that the program forks (a data loader) inherits the handle, and with it our end of the connection: as long
 * as it lived, the agent would think that this rank did.  So the child lets go at once, and its copy of the handle
 * means "no stint".
 */
static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *sessions;

static void before_fork(void)
{
        pthread_mutex_lock(&sessions_lock);
}

static void after_fork(void)
{
        pthread_mutex_unlock(&sessions_lock);
}

static void in_child(void)
{
        struct session *s;

        for (s = sessions; s; s = s->next) {
                if (s->fd >= 0)
                        close(s->fd);
                s->fd = -1;
                s->off = s->forked = 1;
                s->page = &s->idle;
        }
        pthread_mutex_unlock(&sessions_lock);
}

static void watch_forks(void)
{
        pthread_atfork(before_fork, after_fork, in_child);
}

static void enlist(struct session *s)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, watch_forks);
        pthread_mutex_lock(&sessions_lock);
        s->next = sessions;
        sessions = s;
        pthread_mutex_unlock(&sessions_lock);
}

static void delist(struct session *s)
{
        struct session **link;

        pthread_mutex_lock(&sessions_lock);
        for (link = &sessions; *link && *link != s; link = &(*link)->next)
                ;
        if (*link)
                *link = s->next;
        pthread_mutex_unlock(&sessions_lock);
}

/* ---- the connection ------------------------------------------------------------------------------------------- */

static void no_descriptors(struct session_inbox *inbox)
{
        int i;

        inbox->image_fd = inbox->ahead_fd = inbox->table_fd = inbox->stream_fd = -1;
        inbox->places_fd = inbox->window_fd = -1;
        for (i = 0; i < STAGING_IMAGES; i++)
                inbox->staging[i].fd = -1;
}

static void close_one(int fd)
{
        if (fd >= 0)
                close(fd);
}

static void empty_inbox(struct session *s)
{
        struct session_inbox *inbox = &s->inbox;
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                close_one(inbox->staging[i].fd);
        close_one(inbox->image_fd);
        close_one(inbox->ahead_fd);
        close_one(inbox->places_fd);
        close_one(inbox->window_fd);
        close_one(inbox->table_fd);
        close_one(inbox->stream_fd);
        memset(inbox, 0, sizeof *inbox);
        no_descriptors(inbox);
}

/* Back to the page of our own; what the agent's page said of the end of this stint stays known. */
static void leave_page(struct session *s)
{
        struct control_page *page = s->page;

        if (page == &s->idle)
                return;
        s->idle.deadline_ns = atomic_load(&page->deadline_ns);
        s->idle.trigger_ns = atomic_load(&page->trigger_ns);
        s->page = &s->idle;
        munmap(page, sizeof *page);
}

void session_hang_up(struct session *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
        empty_inbox(s);
        leave_page(s);
}

static void broken(struct session *s, const char *why)
{
        if (s->fd < 0)
                return;
        session_hang_up(s);
        s->backoff_ns = REACH_FIRST_NS;
        s->retry_ns = clock_now() + s->backoff_ns;
        session_log(s, STINT_LOG_WARNING, "the agent is gone (%s): training goes on, nothing is saved until it is back",
                    why);
}

int session_post(struct session *s, const void *message, size_t n, int fd, struct stint_error *err)
{
        int64_t until_ns = clock_now() + SEND_NS;
        struct pollfd p = { .fd = s->fd, .events = POLLOUT };
        struct stint_error why;

        while (channel_send(s->fd, message, n, &fd, fd >= 0, &why) < 0) {
                if ((why.code != EAGAIN && why.code != EINTR) || clock_now() >= until_ns)
                        return error_set(err, why.code, "%s", why.text);
                poll(&p, 1, 100);
        }
        return 0;
}

int session_send(struct session *s, const void *message, size_t n, int fd, struct stint_error *err)
{
        struct stint_error why;

        if (s->fd < 0)
                return error_set(err, ENOTCONN, "there is no agent now");
        if (session_post(s, message, n, fd, &why) == 0)
                return 0;
        broken(s, why.text);
        return error_set(err, ENOTCONN, "the agent is gone: %s", why.text);
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static void keep_fd(int *place, int *fd)
{
        if (*place >= 0)
                close(*place);
        *place = *fd;
        *fd = -1;
}

static void keep_staging(struct session_inbox *inbox, const void *message, int *fd)
{
        struct wire_staging told;

        memcpy(&told, message, sizeof told);
        if (told.image >= STAGING_IMAGES)
                return;
        inbox->staging[told.image].told = told;
        keep_fd(&inbox->staging[told.image].fd, fd);
        inbox->staging[told.image].has = 1;
}

/* Puts one message, already checked, where its taker looks; fd is left alone by kinds that have none. */
static void sort_message(struct session *s, const void *message, int *fd)
{
        const struct wire_header *header = message;
        struct session_inbox *inbox = &s->inbox;

        switch (header->type) {
        case WIRE_STAGING:
                keep_staging(inbox, message, fd);
                break;
        case WIRE_PLACES:
                memcpy(&inbox->places, message, sizeof inbox->places);
                keep_fd(&inbox->places_fd, fd);
                break;
        case WIRE_WINDOW:
                memcpy(&inbox->window, message, sizeof inbox->window);
                keep_fd(&inbox->window_fd, fd);
                break;
        case WIRE_RESTORE_IMAGE:
                memcpy(&inbox->image, message, sizeof inbox->image);
                keep_fd(&inbox->image_fd, fd);
                inbox->has_image = 1;
                break;
        case WIRE_IMAGE_AHEAD:
                inbox->ahead_bytes = ((const struct wire_image_ahead *)message)->image_bytes;
                keep_fd(&inbox->ahead_fd, fd);
                inbox->has_ahead = inbox->ahead_fd >= 0;
                break;
        case WIRE_RESTORE_RANKS:
                inbox->saved_ranks = ((const struct wire_restore_ranks *)message)->saved;
                break;
        case WIRE_RESTORE_TABLE: /* a stream before it was given up */
                memcpy(&inbox->table, message, sizeof inbox->table);
                keep_fd(&inbox->table_fd, fd);
                inbox->has_stream = 0;
                break;
        case WIRE_RESTORE_STREAM:
                memcpy(&inbox->stream, message, sizeof inbox->stream);
                keep_fd(&inbox->stream_fd, fd);
                inbox->has_stream = 1;
                break;
        case WIRE_LAYOUT_REFUSED:
                memcpy(&inbox->refused_layout, message, sizeof inbox->refused_layout);
                inbox->has_refused_layout = 1;
                break;
        case WIRE_RESULT:
                memcpy(&inbox->no_save, message, sizeof inbox->no_save);
                inbox->has_no_save = inbox->no_save.save_id == 0;
                if (!inbox->has_no_save && s->on_result)
                        s->on_result(s->on_result_arg, &inbox->no_save);
                break;
        case WIRE_COMPLETED:
                memcpy(&inbox->completed, message, sizeof inbox->completed);
                inbox->has_completed = 1;
                break;
        case WIRE_WAKE: /* it ends a wait; the control word says the rest, but not that an id is asked for again */
                inbox->wakes = inbox->wake_id == ((const struct wire_wake *)message)->save_id ? inbox->wakes + 1 : 1;
                inbox->wake_id = ((const struct wire_wake *)message)->save_id;
                break;
        default:
                session_log(s, STINT_LOG_WARNING,
                            "the agent sent a message of kind %u, which is not for a program: ignored", header->type);
        }
}

int session_receive(struct session *s, void *message, size_t size, int *fd, struct stint_error *err)
{
        int fds[CHANNEL_FDS], n_fds = 0;
        struct stint_error why;
        ssize_t n;

        *fd = -1;
        n = channel_receive(s->fd, message, size, fds, &n_fds, &why);
        if (n < 0 && (why.code == EAGAIN || why.code == EINTR))
                return 0;
        if (n == 0)
                error_set(&why, ECONNRESET, "it closed the connection");
        if (n > 0 && wire_check(message, (size_t)n, &why) < 0)
                n = -1;
        while (n_fds > (n > 0))
                close(fds[--n_fds]);
        if (n <= 0)
                return error_set(err, why.code, "%s", why.text);
        if (n_fds)
                *fd = fds[0];
        return 1;
}

/* Reads everything that is there. */
static void drain(struct session *s)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        struct stint_error why;
        int fd, rc;

        s->mail = (uint32_t)(atomic_load_explicit(&s->page->word, memory_order_acquire) & CONTROL_MAIL_MASK);
        while ((rc = session_receive(s, message, sizeof message, &fd, &why)) > 0) {
                sort_message(s, message, &fd);
                if (fd >= 0)
                        close(fd);
        }
        if (rc < 0)
                broken(s, why.text);
}

int session_await(struct session *s, int (*done)(void *arg), void *arg, int64_t until_ns, struct stint_error *err)
{
        int64_t left;

        for (;;) {
                if (s->fd >= 0)
                        drain(s);
                if (done(arg))
                        return 1;
                if (s->fd < 0)
                        return error_set(err, ENOTCONN, "the agent is gone");
                left = until_ns == CLOCK_NEVER ? CLOCK_NEVER : until_ns - clock_now();
                if (left <= 0)
                        return 0;
                /* In slices: the word may change a moment before the message that tells of it arrives. */
                channel_wait(s->fd, left < CLOCK_SECOND ? left : CLOCK_SECOND);
        }
}

void session_peek(struct session *s)
{
        uint64_t word = atomic_load_explicit(&s->page->word, memory_order_acquire);

        if (s->fd >= 0 && (uint32_t)(word & CONTROL_MAIL_MASK) != s->mail)
                drain(s);
}

void session_attend(struct session *s, int64_t now_ns)
{
        uint64_t word;

        if (s->fd < 0) {
                if (!s->off && now_ns >= s->retry_ns)
                        reach_again(s);
                s->look_ns = s->fd >= 0 ? 0 : s->off ? CLOCK_NEVER : s->retry_ns;
                return;
        }
        word = atomic_load_explicit(&s->page->word, memory_order_acquire);
        if ((uint32_t)(word & CONTROL_MAIL_MASK) == s->mail && now_ns < s->look_ns)
                return;
        s->look_ns = now_ns + SESSION_LOOK_NS;
        drain(s);
        if (s->fd < 0)
                s->look_ns = s->retry_ns;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static void say_where(const struct session *s, const char *dir)
{
        char *real = dir && s->fd >= 0 ? realpath(s->wanted_dir, NULL) : NULL;

        if (dir && s->fd >= 0 && strcmp(s->dir, real ? real : s->wanted_dir))
                session_log(s, STINT_LOG_WARNING,
                            "the program names %s as run directory, but `stint run` keeps this run in %s", dir, s->dir);
        free(real);
}

void session_open_off(struct session *s, const struct stint_options *options)
{
        memset(s, 0, sizeof *s);
        s->fd = -1;
        no_descriptors(&s->inbox);
        s->off = 1;
        s->page = &s->idle;
        s->idle.deadline_ns = s->idle.trigger_ns = CLOCK_NEVER;
        s->idle.step = -1;
        s->log = options->log;
        s->log_arg = options->log_arg;
        enlist(s);
}

void session_open(struct session *s, const struct stint_options *options, int rank, int ranks, int agree_every)
{
        const char *setting = getenv("STINT_DIR");
        struct stint_error why;

        session_open_off(s, options);
        s->rank = rank;
        s->ranks = ranks;
        s->agree_every = agree_every;
        if (setting && !strcmp(setting, "off")) {
                session_log(s, STINT_LOG_NOTICE, "training goes on without checkpoints, as STINT_DIR=off asks");
                return;
        }
        s->off = 0;
        seen_devices(&s->seen);
        if (reach_first(s, options->dir, &why) < 0) {
                s->off = 1;
                session_log(s, STINT_LOG_WARNING, "training goes on without checkpoints: %s", why.text);
        }
        say_where(s, options->dir);
}

void session_give_up(struct session *s)
{
        s->off = 1;
        s->dir[0] = '\0';
        session_hang_up(s);
}

void session_close(struct session *s, int64_t step, int stopped)
{
        struct wire_bye bye = { 0 };

        delist(s);
        WIRE_INIT(&bye, WIRE_BYE);
        bye.step = step;
        bye.stopped = stopped != 0;
        if (s->fd >= 0)
                session_post(s, &bye, sizeof bye, -1, NULL);
        session_hang_up(s);
        s->off = 1;
}
