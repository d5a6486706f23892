/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_journal: RUN/journal.jsonl, one JSON object a line, appended by `stint run` alone and read by the verbs.  A line
 * torn by a crash is closed by the next writer and passed over by readers.
 */
#ifndef STINT_RUN_JOURNAL_H
#define STINT_RUN_JOURNAL_H

#include <jansson.h>
#include <stdint.h>
#include "error.h"

struct journal {
        int fd;
        uint32_t stint;
        char path[1100];
};

/* Opens for appending, creating it if need be; a torn last line is closed with a newline first. */
int journal_open(struct journal *j, const char *run_dir, uint32_t stint, struct stint_error *err);

/*
 * Appends {"t": now, "stint": n, "event": event, ...fields} in one write and syncs it.  fields is a JSON object whose
 * reference is taken, also on failure; NULL for none.
 */
int journal_add(struct journal *j, const char *event, json_t *fields, struct stint_error *err);

void journal_close(struct journal *j);

/*
 * All lines that are objects, in order, as a new JSON array; *torn (may be NULL) receives how many others were passed
 * over.  NULL with err; a journal that is not there is an empty array.
 */
json_t *journal_read(const char *run_dir, size_t *torn, struct stint_error *err);

/* A journal that is read more than once; all zero at first. */
struct journal_reading {
        json_t *lines; /* NULL: not read yet */
        size_t bytes;  /* of the file, that are in them */
        size_t torn;
};

/* As journal_read, but reads only what has come since the last call.  The lines stay the reading's. */
json_t *journal_read_on(struct journal_reading *g, const char *run_dir, struct stint_error *err);

/* Lets go of the lines. */
void journal_forget(struct journal_reading *g);

#endif
