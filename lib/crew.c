/* SPDX-License-Identifier: BSD-3-Clause */
/* crew: threads that help with a copy.  lib/copy.c calls in. */
#include "crew.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

void crew_init(struct crew *c)
{
        memset(c, 0, sizeof *c);
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->called, NULL);
        pthread_cond_init(&c->idle, NULL);
}

/* What one helper does at a call; with the lock held, but for the work itself. */
static void join_in(struct crew *c, const struct crew_member *me)
{
        if (!c->open || me->number > c->wanted)
                return;
        c->working++;
        pthread_mutex_unlock(&c->lock);
        c->work(c->arg, me->number);
        pthread_mutex_lock(&c->lock);
        if (--c->working == 0)
                pthread_cond_signal(&c->idle);
}

static void *helper(void *arg)
{
        struct crew_member *me = arg;
        struct crew *c = me->crew;

        prctl(PR_SET_NAME, "stint-copy");
        pthread_mutex_lock(&c->lock);
        while (me->number <= c->staying) {
                if (me->seen == c->calls) {
                        pthread_cond_wait(&c->called, &c->lock);
                        continue;
                }
                me->seen = c->calls;
                join_in(c, me);
        }
        pthread_mutex_unlock(&c->lock);
        return NULL;
}

int crew_hire(struct crew *c, int helpers)
{
        struct crew_member *m;
        sigset_t all, before;

        helpers = helpers < CREW_MOST ? helpers : CREW_MOST;
        if (helpers <= c->hired)
                return c->hired;
        pthread_mutex_lock(&c->lock);
        c->staying = helpers;
        pthread_mutex_unlock(&c->lock);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (c->hired < helpers) {
                m = &c->members[c->hired];
                m->crew = c;
                m->number = c->hired + 1;
                m->seen = c->calls; /* what is called from now on is for it, even before it has begun to run */
                if (pthread_create(&m->thread, NULL, helper, m))
                        break; /* a limit of the user's or of the system's: fewer do */
                c->hired++;
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return c->hired;
}

void crew_dismiss(struct crew *c, int staying)
{
        pthread_mutex_lock(&c->lock);
        c->staying = staying;
        pthread_cond_broadcast(&c->called);
        pthread_mutex_unlock(&c->lock);
        while (c->hired > staying)
                pthread_join(c->members[--c->hired].thread, NULL);
}

static void open_work(struct crew *c, int wanted, void (*work)(void *arg, int member), void *arg)
{
        pthread_mutex_lock(&c->lock);
        c->work = work;
        c->arg = arg;
        c->wanted = wanted;
        c->open = 1;
        c->calls++;
        pthread_cond_broadcast(&c->called);
        pthread_mutex_unlock(&c->lock);
}

static void close_work(struct crew *c)
{
        pthread_mutex_lock(&c->lock);
        c->open = 0;
        while (c->working)
                pthread_cond_wait(&c->idle, &c->lock);
        pthread_mutex_unlock(&c->lock);
}

void crew_work(struct crew *c, int wanted, void (*work)(void *arg, int member), void *arg)
{
        if (wanted <= 0 || !c->hired) {
                work(arg, 0);
                return;
        }
        open_work(c, wanted, work, arg);
        work(arg, 0);
        close_work(c);
}

void crew_fini(struct crew *c)
{
        crew_dismiss(c, 0);
        pthread_cond_destroy(&c->idle);
        pthread_cond_destroy(&c->called);
        pthread_mutex_destroy(&c->lock);
}
