/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log: one line per event on stderr, for stint's own programs (libstint has the program's callback instead).
 * Under journald (JOURNAL_STREAM names this stderr) a line begins with its priority, "<5>"; elsewhere with the
 * program's name.
 */
#ifndef STINT_LOG_H
#define STINT_LOG_H

#include <stddef.h>
#include "stint.h"

/*
 * name goes before each line ("stint", "stint-agent") that does not begin with it, as "stint 3: saved ..." does; lines above
 * `most` (a syslog priority) are dropped.  Not copied.
 */
void log_init(const char *name, enum stint_log_level most);

/* One line; a newline at its end is added, control characters within it are escaped as \xNN.  One write(2) a line. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copies text into out (size bytes, always terminated) with control characters (C0, DEL, C1) and bytes that are not
 * UTF-8 as \xNN; cut between characters; answers out. */
const char *log_escape(char *out, size_t size, const char *text);

#endif
