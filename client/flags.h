/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flags: reads a command line by a table, which makes the help text too.  Every verb of stint has one. */
#ifndef STINT_FLAGS_H
#define STINT_FLAGS_H

#include <stddef.h>
#include <stdio.h>
#include "error.h"

struct flag {
        const char *name;    /* "--json"; NULL ends the table */
        const char *value;   /* what its value is called in the help, "D"; NULL: it has none */
        size_t offset;       /* of the field that `read` fills, in the struct the table is for */
        int (*read)(void *field, const char *text, struct stint_error *err); /* text NULL: a flag without a value */
        const char *help;    /* NULL: not shown */
        const char *heading; /* begins a group of the help */
};

/* Readers for common fields. */
int flag_switch(void *field, const char *text, struct stint_error *err);   /* int: 1 */
int flag_text(void *field, const char *text, struct stint_error *err);     /* const char *, into argv */
int flag_duration(void *field, const char *text, struct stint_error *err); /* int64_t, ns; 0 is allowed */
int flag_positive(void *field, const char *text, struct stint_error *err); /* int, 1 or more */
int flag_count(void *field, const char *text, struct stint_error *err);    /* int, 0 or more */

enum flags_words {
        FLAGS_ANYWHERE, /* words and options may be mixed */
        FLAGS_FIRST     /* options end at the first word: what follows belongs to another program */
};

/*
 * Reads argv (NULL at the end, without the program's and the verb's name) into *target, both `--name=value` and
 * `--name value`, up to a "--".  *words receives what is no option, NULL at the end: with FLAGS_ANYWHERE gathered at
 * the beginning of argv, with FLAGS_FIRST the rest of argv, which then is left as it was.
 * -1 with EINVAL, naming the nearest option that exists; 1 at --help or -h, which the caller answers.
 */
int flags_read(const struct flag *table, void *target, char **argv, enum flags_words where, char ***words,
               struct stint_error *err);

/* The lines of the table, with --help as the last. */
void flags_help(const struct flag *table, FILE *out);

#endif
