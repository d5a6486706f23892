/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process_tree: the descendants of this process, from /proc, and signals to them.  Complete only for a child subreaper,
 * whose descendants cannot leave the tree by losing their parent.
 */
#ifndef STINT_PROCESS_TREE_H
#define STINT_PROCESS_TREE_H

#include <stddef.h>
#include <sys/types.h>
#include "error.h"

/* Makes this process the new parent of every descendant that loses its own.  -1 with the reason. */
int process_tree_adopt(struct stint_error *err);

/*
 * Sends each of the signals (0 at the end) to every living descendant but `except` (0: to all); zombies do not count.
 * Answers how many processes there are that it was meant for, -1 when /proc cannot be read.  A process that is born
 * while this runs may be missed: whoever wants none left calls again until the answer is 0.
 */
int process_tree_signal(pid_t except, const int *signals, struct stint_error *err);

/* The same, to all but that one and those that come from it. */
int process_tree_signal_but(pid_t but, const int *signals, struct stint_error *err);

/* The same, to those alone that run the program of this name (as in /proc/PID/comm, 15 bytes at most). */
int process_tree_signal_program(const char *program, const int *signals, struct stint_error *err);

/* How many living descendants there are; -1 when /proc cannot be read. */
int process_tree_count(struct stint_error *err);

#endif
