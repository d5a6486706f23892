/* SPDX-License-Identifier: GPL-2.0-or-later */
/* print: how verbs show what they found: aligned tables, JSON, times and sizes; plain off a terminal. */
#ifndef STINT_PRINT_H
#define STINT_PRINT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "error.h"

/* A table that is as wide as its cells need: print_table_new, print_row for each row, print_table_end. */
struct print_table;

/*
 * The titles, NULL at the end; one that begins with '>' (which is not shown) has its column aligned to the right.  NULL
 * when there is no memory, with which the other two do nothing.
 */
struct print_table *print_table_new(const char *const *titles);

/* As many cells as there are titles; NULL is shown as "-".  Copied; control characters are escaped. */
void print_row(struct print_table *t, const char *const *cells);

/*
 * Writes titles and rows, nothing when there are no rows, and frees it.  The last column is not padded.  -1: no memory.
 */
int print_table_end(struct print_table *t, FILE *out);

/*
 * Writes the value indented with a newline and gives up its reference; NULL stands for one that could not be made.  -1
 * then, or when it cannot be written.
 */
int print_json(json_t *value, FILE *out, struct stint_error *err);

/* A text that may be any bytes, as a path is: escaped as on a terminal where it is not UTF-8, which JSON must be. */
json_t *print_string(const char *text);

/* "12.3s" from then to now, "-" when then is 0 or unknown; never negative.  Both in ns since 1970.  Answers out. */
const char *print_age(char *out, size_t size, int64_t then_ns, int64_t now_ns);

/* "1.5 MiB" into out for a count of bytes, "-" for a negative one.  Answers out. */
const char *print_size(char *out, size_t size, int64_t bytes);

/* The text as it is, or coloured where out is a terminal that can (no NO_COLOR, TERM not dumb). */
enum print_colour { PRINT_PLAIN, PRINT_GOOD, PRINT_WARNING, PRINT_BAD };
void print_coloured(FILE *out, enum print_colour colour, const char *text);

/* Reads "2026-11-22T03:04:05.678Z" back into ns since 1970; 0 for anything else. */
int64_t print_time_read(const char *text);

/* A member of a JSON object, or the value to assume: the files read here may be older than this program. */
const char *print_member_text(const json_t *object, const char *name, const char *otherwise);
int64_t print_member_int(const json_t *object, const char *name, int64_t otherwise);
double print_member_real(const json_t *object, const char *name, double otherwise);

#endif
