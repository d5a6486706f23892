/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * training: one training process, with 1000 weights for a state and an agent that a thread plays, for the tests of what a
 * program sees of stint.
 */
#ifndef TRAINING_H
#define TRAINING_H

#include <check.h>
#include <string.h>
#include <time.h>
#include "fake_agent.h"
#include "fault.h"
#include "safepoint.h"

#define TRAINING __attribute__((unused)) static

static struct fake_agent agent;
static char log_text[8192];

TRAINING void keep_log(void *arg, enum stint_log_level level, const char *line)
{
        size_t have = strlen(log_text);

        (void)arg;
        (void)level;
        snprintf(log_text + have, sizeof log_text - have, "%s\n", line);
}

TRAINING struct stint *open_one(void)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;

        options.log = keep_log;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        return s;
}

TRAINING void setup(void)
{
        log_text[0] = '\0';
        fault_reset();
        fake_start(&agent, 1);
}

TRAINING void teardown(void)
{
        fake_stop(&agent);
}

/* The state of most tests: 1000 weights whose values follow from the step. */
static float weights[1000];

TRAINING void train_to(int step)
{
        int i;

        for (i = 0; i < 1000; i++)
                weights[i] = (float)(step * 1000 + i);
}

TRAINING int trained_to(int step)
{
        int i;

        for (i = 0; i < 1000; i++)
                if (weights[i] != (float)(step * 1000 + i))
                        return 0;
        return 1;
}

TRAINING struct stint *begin(void)
{
        struct stint *s = open_one();

        train_to(0);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000)), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        return s;
}

TRAINING int step(struct stint *s, int n)
{
        train_to(n);
        return stint_step(s, n);
}

/* A run of its own that ends at `last` with everything saved. */
TRAINING void run_to(int last)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, last), STINT_STOP);
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        agent.byes = agent.snapshots = agent.restores = agent.layouts = 0;
        memset(weights, 0, sizeof weights);
}

/* Steps until the connection that broke has been noticed, or made again. */
TRAINING int step_until(struct stint *s, int n, int usable)
{
        struct timespec t = { .tv_nsec = 10000000 };
        int i;

        for (i = 0; i < 1000 && session_usable(&s->session) != usable; i++, n++) {
                ck_assert_int_eq(step(s, n), STINT_CONTINUE);
                nanosleep(&t, NULL);
        }
        ck_assert_int_eq(session_usable(&s->session), usable);
        return n;
}

TRAINING int said(const char *what)
{
        const char *at;
        int n = 0;

        for (at = strstr(log_text, what); at; at = strstr(at + 1, what))
                n++;
        return n;
}

#endif
