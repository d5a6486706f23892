/* SPDX-License-Identifier: BSD-3-Clause */
/* seen: which devices this process sees, for the journal; history, from which nothing is ever decided. */
#ifndef STINT_SEEN_H
#define STINT_SEEN_H

#include "wire.h"

/*
 * Fills *m from the environment and the driver's files; CUDA is not touched.  Where every device is hidden, or there is
 * no driver, no file of the driver is opened.
 */
void seen_devices(struct wire_devices *m);

#endif
