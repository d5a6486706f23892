/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inventory: the NVIDIA devices of this machine that this process may use, from what the driver has in /proc and from
 * what nvidia-smi says; without CUDA.  `stint doctor` calls in, and libstint for the journal; visible.h is made for the
 * result.
 */
#ifndef STINT_INVENTORY_H
#define STINT_INVENTORY_H

#include "visible.h"

struct inventory {
        unsigned n;
        unsigned withheld; /* GPUs that are there, and that this process may not open */
        char driver[32];   /* its version; "": there is no driver */
        struct visible_device device[VISIBLE_MOST];
};

/*
 * Fills *inv from ROOT/proc/driver/nvidia; root is "" but in tests.  A GPU counts when it is not excluded and its file
 * in ROOT/dev may be read and written, which access(2) asks the control group for too.  Of a GPU with instances /proc
 * does not tell the UUIDs: it is VISIBLE_UNSEEN.
 */
void inventory_read(struct inventory *inv, const char *root);

/*
 * What `nvidia-smi -L` has printed replaces the list: it names instances, and leaves out what is withheld.  What only
 * /proc knows of a GPU is kept.  0, or -1 when there is no GPU in the text, and then nothing is changed.
 */
int inventory_take_list(struct inventory *inv, const char *text);

/*
 * What `nvidia-smi --query-gpu=uuid,pci.bus_id,memory.total,mig.mode.current --format=csv,noheader,nounits` has
 * printed: address, memory, and GPUs that are divided and have no instances.
 */
void inventory_take_query(struct inventory *inv, const char *text);

/* STINT_DEVICE_ROOT, where tests have a machine of their own; else "". */
const char *inventory_root(void);

#endif
