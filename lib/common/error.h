/* SPDX-License-Identifier: BSD-3-Clause */
/* error: how every function of stint says why it failed.  struct stint_error itself is public, in stint.h. */
#ifndef STINT_ERROR_H
#define STINT_ERROR_H

#include "stint.h"

/*
 * Fills *err (which may be NULL) with a code (an errno value, never 0) and a sentence, and answers -1, so that a
 * function can end with `return error_set(...)`.  A sentence too long for the struct is cut at its end.  errno is that
 * code afterwards, so that it can be asked where err is NULL.
 */
int error_set(struct stint_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and the words of that errno value appended. */
int error_system(struct stint_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before the sentence that *err holds already; keeps its code.  Answers -1. */
int error_wrap(struct stint_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Empties *err; NULL is allowed. */
void error_clear(struct stint_error *err);

#endif
