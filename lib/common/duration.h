/* SPDX-License-Identifier: BSD-3-Clause */
/* duration: times and sizes as people write them: "90s", "1h30m", "250ms", "64M". */
#ifndef STINT_DURATION_H
#define STINT_DURATION_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

/*
 * Reads a duration into *ns: numbers (a fraction allowed) each with a unit of d, h, m, s, ms, the units from large to
 * small ("1h30m", "1.5s"); a bare number is seconds.  "D-HH", "D-HH:MM", "D-HH:MM:SS", "HH:MM:SS" and "MM:SS" are
 * read as Slurm does.  -1 with EINVAL for anything else, a negative one, or more than 100 years.
 */
int duration_parse(const char *text, int64_t *ns, struct stint_error *err);

/* As people read it, two units at most: "0.35s", "12.3s", "4m 10s", "2h 05m", "3d 04h"; "-" for CLOCK_NEVER.
 * Negative ones with a leading minus.  Answers out. */
const char *duration_format(char *out, size_t size, int64_t ns);

/* Reads "4096", "64K", "1.5G" (powers of 1024; K M G T, an optional B or iB after) into *bytes.  -1 with
 * EINVAL for anything else, or for 512 PiB and more. */
int size_parse(const char *text, int64_t *bytes, struct stint_error *err);

/* "512 B", "1.5 MiB", "2.0 GiB".  Answers out. */
const char *size_format(char *out, size_t size, int64_t bytes);

#endif
