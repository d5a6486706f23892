/* SPDX-License-Identifier: GPL-2.0-or-later */
/* history: a run's journal gathered into stints, for `stint show` and `stint status`. */
#ifndef STINT_HISTORY_H
#define STINT_HISTORY_H

#include <jansson.h>
#include <stdint.h>
#include "error.h"

struct history_stint {
        int64_t number;
        int64_t started_ns, ended_ns; /* since 1970; 0: not in the journal */
        int64_t from, to;             /* steps: where it began, the last one known; -1: not known */
        int64_t landed;               /* step of its last save that landed; -1: none */
        int64_t lost;                 /* steps done after that; -1: not known */
        int64_t saves, failures;      /* saves that landed, that did not */
        int exit;                     /* code; -1: not known */
        int ended;                    /* it has its end in the journal */
        const char *why, *verdict;    /* "" until known; these point into events */
        const char *host, *job;
        json_t *restore;              /* the event of its last restore; NULL: it has none */
        char where[120];              /* its nodes and what rank 0 saw of GPUs: "n1,n2 gpu 0,1"; "" when it had none */
        int devices;                  /* CUDA_VISIBLE_DEVICES was set there */
        char last_save[500];          /* verdict on its last save, landed or not; "" when it has none */
};

struct history {
        json_t *events;  /* all lines of the journal, in order */
        size_t torn;     /* lines that could not be read */
        struct history_stint *stints;
        size_t n;
};

/* Reads RUN/journal.jsonl.  One that is not there is an empty history. */
int history_read(struct history *h, const char *run_dir, struct stint_error *err);

/* The last stint, or NULL. */
const struct history_stint *history_last(const struct history *h);

void history_fini(struct history *h);

#endif
