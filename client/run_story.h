/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_story: one stint as `stint run` lives it, and everything it knows meanwhile.  The rooms run_begin, run_loop,
 * run_events, run_saving, run_prefetch, run_restore and run_progress each tell a part of it; they share this struct, and each field
 * has one of them as its owner.
 */
#ifndef STINT_RUN_STORY_H
#define STINT_RUN_STORY_H

#include <uv.h>
#include "run.h"
#include "run_agents.h"
#include "run_behind.h"
#include "run_commit.h"
#include "run_deadline.h"
#include "run_identity.h"
#include "run_journal.h"
#include "run_lease.h"
#include "run_listen.h"
#include "run_measured.h"
#include "run_prefetch.h"
#include "run_progress.h"
#include "run_ranks.h"
#include "run_restore.h"
#include "run_save.h"
#include "run_successor.h"
#include "run_supervise.h"
#include "run_verdict.h"
#include "run_work.h"

struct run {
        /* set at the start and left alone */
        const struct run_options *o;
        uint32_t stint;
        int64_t began_ns;
        struct identity identity;
        struct past past;

        /* things with an outside */
        struct lease lease;
        int has_lease, has_journal;
        struct journal journal;
        struct journal_reading history; /* what was in it, until the loop runs */
        uv_loop_t loop;
        uv_poll_t signal_poll;
        uv_timer_t tick_timer, wait_timer, child_timer; /* every second; for what is awaited; program told to end */
        int signal_fd;
        struct run_deadline deadline;
        struct agents agents;
        struct child child;
        struct listen listen;
        struct work_queue work;
        int attend_fd;               /* -1 once it was told */
        int64_t attend_told_ns;
        struct lease_holder other;   /* who had the lease when it could not be taken */
        int has_loop, journal_said, other_command;

        /* the parts of the story */
        struct ranks ranks;
        struct save save, behind;    /* run_saving.c; behind: asked for while the other is being written */
        struct behind listing;       /* run_behind.c */
        struct prefetch prefetch;    /* run_prefetch.c */
        struct restore restore;      /* run_restore.c */
        struct progress progress;    /* run_progress.c */
        struct successor successor;  /* run_successor.c */
        struct measured measured;
        int64_t mtbf_ns;             /* mean time between failures, configured or of the past */
        struct seal_metric best;     /* name "" : none */
        uint32_t lineage;

        /* how it stands */
        int64_t landed_step;         /* newest that landed or was restored; -1 */
        int64_t complete_step;
        int completing;              /* DONE is being written */
        struct ending ending;
        int interrupts;              /* SIGINT and SIGTERM so far */
        int64_t stopped_look_ns;     /* when STOPPED is looked for again */
        int stopped_said;            /* it was found, and that was said */
        int child_ended, patience_over; /* the program has; what it left unfinished is waited for no longer */
        int64_t term_ns;             /* when agents had SIGTERM last; 0: never */
        int term_missed;             /* and once more shortly after, which nobody has asked about */
        int64_t trigger_lead_ns;     /* of the trigger that the scheduler is asked about */
        int over;                    /* nothing more is begun; the agents are ending */
        int64_t wanted_ns;           /* since when */
        enum save_reason wanted_final; /* a final save that waits for ranks to come back */
        char kill_text[120];         /* why the program will be killed, when it has not ended by then */
        char last_save[480];         /* the verdict of the last save */
        char not_saved[480];         /* why the last final one did not land; "" */
};

/*
 * An event for the journal; a journal that cannot be written is said once per stint and stops nothing.  Takes fields.
 */
void story_note(struct run *r, const char *event, json_t *fields);

/* Journals what commit_* appended to events, and takes it. */
void story_note_all(struct run *r, json_t *events);

/* The lease is lost: nothing is written any more, and the stint ends with EXIT_OWN; the program is left alone. */
void story_lease_lost(struct run *r, const struct stint_error *err);

/* Tells an agent what it must know when it is new, or AGENTS_ALL when it changed. */
void story_tell_deadline(struct run *r, unsigned agent);
void story_tell_measured(struct run *r, unsigned agent);
void story_tell_best(struct run *r, unsigned agent);

/* What commit_* needs; events is a new array, for story_note_all. */
struct commit story_commit(const struct run *r);

#endif
