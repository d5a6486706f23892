/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * restore: putting a checkpoint back.  The agent hands over its image, read and checked; here it is seen whether it
 * fits what the program attached, before the first byte is copied, and what nobody attached is carried along.
 */
#ifndef STINT_RESTORE_H
#define STINT_RESTORE_H

#include <stddef.h>
#include <stdint.h>

struct stint;

struct restored {
        void *image; /* as long as tensors in it are carried along; NULL: none are */
        size_t bytes;
        int asked;   /* this process has asked what there is to restore */
        uint32_t saved_ranks; /* how many ranks saved what was restored; 0: nothing was */
};

/* stint_restore.  Every rank calls it. */
int restore_state(struct stint *s, int64_t *step);

/*
 * For a program that goes to its first safe point without stint_restore: finds out whether the run has checkpoints.
 * When it has, they are left alone, and nothing is saved in this stint.
 */
void restore_forgone(struct stint *s);

/* Between stint_open and stint_restore: an image that the agent shows is made ready to be copied from. */
void restore_look_ahead(struct stint *s);

/* Lets go of the image when nothing in it is carried along any more. */
void restore_release(struct stint *s);

#endif
