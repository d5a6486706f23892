/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wish: the words that say where state is to be, those of model_device, STINT_MODEL_DEVICE and map_location.  placement
 * in libstint goes by them, `stint doctor` tells what they come to.
 */
#ifndef STINT_WISH_H
#define STINT_WISH_H

#include "error.h"

#define WISH_WORDS "auto, cuda, cuda:N, sim, sim:N or cpu"
#define WISH_LISTS "a list of devices by their numbers, such as cuda:0,cuda:1"
#define WISH_MORE  15 /* devices behind the first of a list */

enum wish_word {
        WISH_UNSAID = 0, /* the table decides */
        WISH_AUTO,       /* the device in use, of the first kind that is there; else the host */
        WISH_SAVED,      /* where it was when it was saved */
        WISH_AT          /* there */
};

struct wish {
        enum wish_word word;
        enum stint_device device; /* of WISH_AT */
        int index;                /* of WISH_AT; -1: the one in use, or the host */
};

/* What may be said of the model: one place, or several devices of one kind, of which the first is the model's. */
struct wish_model {
        struct wish first;
        int more, also[WISH_MORE]; /* how many follow it, and their numbers */
};

/* -1 for what is no word. */
int wish_read(struct wish *wish, const char *text);

/* -1 for what is no word, WISH_SAVED, or a list that has another kind, a device twice, or more than fit. */
int wish_read_model(struct wish_model *model, const char *text);

/* 1 for a device that was said by its number, alone or in the list. */
int wish_has(const struct wish_model *model, int index);

#endif
