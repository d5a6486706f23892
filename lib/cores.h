/* SPDX-License-Identifier: BSD-3-Clause */
/* cores: how many cores this process may keep busy.  lib/copy.c calls in. */
#ifndef STINT_CORES_H
#define STINT_CORES_H

/*
 * The cores in the calling thread's affinity mask, but no more than the quotas of the control groups (version 2) that
 * the process is in pay for, rounded up.  At least 1.  Reads a few small files where there are control groups.
 */
int cores_usable(void);

/* What a cpu.max says: "max 100000", or microseconds of a core in each period: "150000 100000" is 2.  0: no limit. */
int cores_of_quota(const char *text);

#endif
