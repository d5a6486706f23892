/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fit: whether the tensors of a checkpoint are those that the program attached, before the first byte is copied, and
 * what becomes of those that it did not attach.  restore and fed call in.
 */
#ifndef STINT_FIT_H
#define STINT_FIT_H

#include <stdint.h>
#include "error.h"

struct layout;

/* The table of a checkpoint; it has passed table_check, and stays as long as its records are in use. */
struct fit {
        const void *table;
        uint64_t count;
        uint32_t record_bytes;
        const char *checkpoint; /* its name, for sentences */
        int newcomer;           /* this rank was not among those that saved it */
};

/*
 * Finds the record of everything attached, as layout_tensor.record.  -1 when one does not fit, may not come back to
 * where it is now (placement.h), or is missing and may not be: with allow_missing that is one with ->touched, whose
 * value is not its own any more; so it is of what a newcomer's own is (role_is_own).
 */
int fit_check(struct layout *l, const struct fit *f, int allow_missing, struct stint_error *err);

/* How many bytes the tensors take that nobody attached, one behind the other with gaps (fit_carry). */
uint64_t fit_carried_bytes(const struct layout *l, const struct fit *f);

/*
 * Takes those along, as layout_carry says: their bytes are in the image at `base`, or, when `packed`, in memory of
 * fit_carried_bytes there, where they are still to come.
 */
int fit_carry(struct layout *l, const struct fit *f, const char *base, int packed, struct stint_error *err);

/* It counts: records are not needed any more. */
void fit_settle(struct layout *l);

/* It does not: and everything that was carried along is let go of. */
void fit_undo(struct layout *l);

#endif
