/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_events: what reaches `stint run` from outside, signals, agents, verbs, the scheduler, and which room it concerns.
 */
#ifndef STINT_RUN_EVENTS_H
#define STINT_RUN_EVENTS_H

#include "run_agents.h"
#include "run_deadline.h"

struct run;

/* The agents'; arg is the struct run. */
extern const struct agents_events story_agents_events;

/* SIGTERM, SIGINT or SIGHUP came to `stint run` itself. */
void event_signal(struct run *r, int signal);

/* Once a second. */
void event_tick(struct run *r);

/* A verb came in; arg is the struct run.  Answers the id of the save whose result is its answer. */
uint32_t event_verb(void *arg, enum wire_verb_what what);

/* The scheduler told another deadline; arg is the struct run. */
void event_deadline(void *arg, const struct run_deadline *d, int fresh);

#endif
