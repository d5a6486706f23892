/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault: named points at which a test can break stint, in the product and in every build.  Each step of a save and of a
 * restore has one.  STINT_FAULT in the environment arms them:
 *
 *   STINT_FAULT=POINT:ACTION[@N][,POINT:ACTION[@N]...]        N: at the N-th time the point is reached (default 1)
 *
 *   kill       the process kills itself with SIGKILL
 *   pause      the process creates the file $STINT_FAULT_DIR/POINT.PID ("reached") and waits until that file is
 *              removed; a test kills whom it likes meanwhile
 *   fail=NAME  the step fails with that errno: ENOSPC, EIO, EDQUOT, ENOMEM, EACCES, ESTALE
 *   delay=D    the process waits for a duration first (duration.h)
 *
 * A setting that cannot be read is said on stderr once and arms nothing.  stintd never arms any.
 */
#ifndef STINT_FAULT_H
#define STINT_FAULT_H

/*
 * Marks a point, by its name ("commit.before_rename").  0 to go on, or an errno value with which the step must fail
 * now.  Costs a load and a branch when nothing is armed.  Thread-safe.
 */
int fault_point(const char *point);

/* Every point there is, NULL at the end; the sweep reads them through `stint doctor --faults`. */
extern const char *const fault_points[];

/* Forgets what was armed and reads STINT_FAULT again: for tests. */
void fault_reset(void);

#endif
