/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_loop: the event loop of a stint, and the program in it. */
#ifndef STINT_RUN_LOOP_H
#define STINT_RUN_LOOP_H

#include <stdint.h>
#include "error.h"

struct run;

/* Takes the signals of this process, and makes the loop ready for everything that is opened in it. */
int loop_open(struct run *r, struct stint_error *err);

/* Runs the loop until everything is over, and closes it: a handle that is open then ends the process. */
void loop_run(struct run *r);

/* Nothing has begun yet, and nothing will: what is open in the loop, if there is one, is closed, and so is the loop. */
void loop_break_off(struct run *r);

/* Starts the program, once: when the agents are ready, or will not be. */
void loop_start_program(struct run *r);

/* The program has limit_ns to end, and is killed then, for the reason in text. */
void loop_end_program_in(struct run *r, int64_t limit_ns, const char *text);

/* A final save landed: the program stops by itself now, or is made to. */
void loop_await_stop(struct run *r);

/* Looks whether everything is over: the child has ended (or the last rank has gone), and no save is in flight. */
void loop_look_for_end(struct run *r);

/* The agents are over: what is left of the loop's handles is closed, and the loop ends. */
void loop_close_handles(struct run *r);

#endif
