/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * finishes: one list, a detached thread for each that runs or is closed, one timer for the earliest end of all.  A thread
 * sets a flag and wakes the loop; everything else is decided on the loop.
 */
#include "finishes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "log.h"

#define NICE 10 /* training of other jobs comes first */
#define STACK_BYTES ((size_t)256 << 10)

static void look(struct finishes *all);

/* ---- on a thread ------------------------------------------------------------------------------------------------- */

static void tell(struct finishes *all, atomic_int *what)
{
        pthread_mutex_lock(&all->lock);
        atomic_store(what, 1);
        if (!all->closed)
                uv_async_send(&all->news);
        pthread_mutex_unlock(&all->lock);
}

/* Closing writes out what a file on the network or in user space still owes, and so may hang as well. */
static void close_all(struct finish *f)
{
        int i;

        if (f->image_fd >= 0)
                close(f->image_fd);
        if (f->file_fd >= 0)
                close(f->file_fd);
        if (f->seal_fd >= 0)
                close(f->seal_fd);
        for (i = 0; i < f->n_more; i++)
                close(f->more[i]);
}

static void *run(void *arg)
{
        struct finish *f = arg;
        struct finishes *all = f->all;

        if (f->writes) {
                setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone, on Linux */
                f->failed = all->write(f, &f->err) < 0;
                tell(all, &f->ended);
        }
        close_all(f);
        tell(all, &f->closed);
        return NULL;
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static int start_thread(struct finish *f)
{
        pthread_attr_t attr;
        pthread_t thread;
        int rc;

        if (pthread_attr_init(&attr) != 0)
                return -1;
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        rc = pthread_create(&thread, &attr, run, f);
        pthread_attr_destroy(&attr);
        f->threaded = rc == 0;
        return rc == 0 ? 0 : -1;
}

static void list(struct finish *f)
{
        f->next = f->all->first;
        f->all->first = f;
}

static void say_over(struct finish *f)
{
        if (f->on_over)
                f->on_over(f->arg, f);
        f->on_over = NULL;
}

/* Its thread has come back. */
static void over(struct finish *f)
{
        char took[32], bytes[32];

        f->state = FINISH_OVER;
        f->sealed = !f->failed;
        if (!user_may_log(f->user, clock_now()))
                ;
        else if (f->sealed)
                log_notice("%s: finished: sealed in %s, with %s that its agent had not written", f->label,
                           duration_format(took, sizeof took, clock_now() - f->begun_ns),
                           size_format(bytes, sizeof bytes, (int64_t)f->wrote));
        else
                log_warning("%s: not finished: %s", f->label, f->err.text);
        say_over(f);
}

/* Its time is over, or there is no thread for it.  One that hangs is left to itself: it seals nothing any more. */
static void give_up(struct finish *f, const char *why)
{
        const int hangs = f->state == FINISH_RUNNING && f->threaded;

        atomic_store(&f->stop, 1);
        f->state = FINISH_OVER;
        if (user_may_log(f->user, clock_now()))
                log_warning("%s: not finished: %s%s", f->label, why, hangs ? ", and its filesystem has not answered" : "");
        say_over(f);
}

/* The descriptors of one that does not run go on a thread too. */
static void close_apart(struct finish *f)
{
        f->state = FINISH_OVER;
        f->writes = 0;
        start_thread(f);
}

static void forget(struct finish *f)
{
        f->user->handed--;
        f->all->count--;
        free(f->more);
        free(f);
}

static int running_of(const struct finishes *all, const struct user *user)
{
        const struct finish *f;
        int n = 0;

        for (f = all->first; f; f = f->next)
                n += f->user == user && f->begun_ns > 0 && !atomic_load(&f->closed) && f->state != FINISH_WAITING;
        return n;
}

static void start(struct finish *f)
{
        char left[32];

        f->begun_ns = clock_now();
        f->state = FINISH_RUNNING;
        f->writes = 1;
        if (user_may_log(f->user, f->begun_ns))
                log_notice("%s: its agent is gone: stintd goes on writing, for %s at most", f->label,
                           duration_format(left, sizeof left, f->until_ns - f->begun_ns));
        if (start_thread(f) < 0)
                give_up(f, "stintd can have no thread more");
}

/* The next of each user; the list has the newest first. */
static void start_waiting(struct finishes *all)
{
        struct finish *f, *oldest;

        do {
                oldest = NULL;
                for (f = all->first; f; f = f->next)
                        if (f->state == FINISH_WAITING && running_of(all, f->user) < FINISHES_RUNNING)
                                oldest = f;
                if (oldest)
                        start(oldest);
        } while (oldest);
}

static void on_closed(uv_handle_t *handle)
{
        (void)handle;
}

/* Once stintd ends: when nothing is written any more, nothing keeps it. */
static void end_when_idle(struct finishes *all)
{
        const struct finish *f;

        for (f = all->first; f; f = f->next)
                if (f->state == FINISH_RUNNING || f->state == FINISH_WAITING)
                        return;
        if (all->closed)
                return;
        pthread_mutex_lock(&all->lock);
        all->closed = 1;
        pthread_mutex_unlock(&all->lock);
        uv_close((uv_handle_t *)&all->news, on_closed);
        uv_close((uv_handle_t *)&all->late, on_closed);
}

static void on_late(uv_timer_t *timer)
{
        look(timer->data);
}

static void on_news(uv_async_t *async)
{
        look(async->data);
}

static void set_timer(struct finishes *all)
{
        const int64_t now_ns = clock_now();
        int64_t next_ns = CLOCK_NEVER;
        const struct finish *f;

        for (f = all->first; f; f = f->next)
                if ((f->state == FINISH_RUNNING || f->state == FINISH_WAITING) && f->until_ns < next_ns)
                        next_ns = f->until_ns;
        if (next_ns == CLOCK_NEVER)
                uv_timer_stop(&all->late);
        else
                uv_timer_start(&all->late, on_late,
                               next_ns > now_ns ? (uint64_t)((next_ns - now_ns) / CLOCK_MS) + 1 : 0, 0);
}

/* Everything that may have happened: ends, closed descriptors, times that are over, and who comes next. */
static void look(struct finishes *all)
{
        struct finish **at = &all->first, *f;
        const int64_t now_ns = clock_now();

        for (f = all->first; f; f = f->next) {
                if (f->state == FINISH_RUNNING && atomic_load(&f->ended))
                        over(f);
                else if ((f->state == FINISH_RUNNING || f->state == FINISH_WAITING) && f->until_ns <= now_ns)
                        give_up(f, "its time was over");
        }
        while ((f = *at)) {
                if (f->state == FINISH_OVER && !f->threaded)
                        close_apart(f);
                if (f->state == FINISH_OVER && atomic_load(&f->closed)) {
                        *at = f->next;
                        forget(f);
                } else {
                        at = &f->next;
                }
        }
        start_waiting(all);
        if (all->stopping)
                end_when_idle(all);
        if (!all->closed)
                set_timer(all);
}

/* ---- what others call -------------------------------------------------------------------------------------------- */

int finishes_take_more(const struct finishes *all, const struct user *user)
{
        return !all->stopping && all->count < FINISHES_MOST && user->handed < FINISHES_OF_USER;
}

struct finish *finishes_hold(struct finishes *all, struct user *user, int file_fd, int seal_fd)
{
        struct finish *f = calloc(1, sizeof *f);

        if (!f)
                return NULL;
        f->all = all;
        f->user = user;
        f->uid = user->uid;
        f->file_fd = file_fd;
        f->seal_fd = seal_fd;
        f->image_fd = -1;
        all->count++;
        user->handed++;
        return f;
}

void finishes_close(struct finishes *all, struct user *user, const int *fds, int n_fds)
{
        struct finish *f = finishes_hold(all, user, -1, -1);

        if (!f)
                return;
        f->more = malloc(sizeof *fds * (size_t)n_fds);
        if (f->more) {
                memcpy(f->more, fds, sizeof *fds * (size_t)n_fds);
                f->n_more = n_fds;
        }
        finishes_let_go(f);
}

void finishes_let_go(struct finish *f)
{
        list(f);
        close_apart(f);
}

void finishes_begin(struct finish *f, int image_fd, void (*on_over)(void *arg, struct finish *f), void *arg)
{
        f->on_over = on_over;
        f->arg = arg;
        f->state = FINISH_WAITING;
        f->image_fd = fcntl(image_fd, F_DUPFD_CLOEXEC, 0); /* without one the thread says why it cannot read */
        list(f);
        uv_async_send(&f->all->news); /* not from here, so that on_over never comes before this has returned */
}

int finishes_open(struct finishes *all, uv_loop_t *loop, struct stint_error *err)
{
        int rc;

        memset(all, 0, sizeof *all);
        all->loop = loop;
        all->write = finish_write;
        pthread_mutex_init(&all->lock, NULL);
        rc = uv_async_init(loop, &all->news, on_news);
        if (rc < 0)
                return error_set(err, EIO, "cannot wait for threads: %s", uv_strerror(rc));
        uv_timer_init(loop, &all->late);
        all->news.data = all->late.data = all;
        return 0;
}

void finishes_stop(struct finishes *all)
{
        const int64_t until_ns = clock_now() + FINISHES_STOP_NS;
        struct finish *f;

        all->stopping = 1;
        for (f = all->first; f; f = f->next)
                if (f->until_ns > until_ns)
                        f->until_ns = until_ns;
        look(all);
}
