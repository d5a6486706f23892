/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * visible: which devices of a machine a program sees, by CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, and why: pure, and
 * without CUDA.  `stint doctor` explains with it, libstint names a rank's devices for the journal.  It explains; what
 * counts is what the CUDA runtime does.  docs/devices.md has every form with its answer and the source of each rule.
 */
#ifndef STINT_VISIBLE_H
#define STINT_VISIBLE_H

#include <stddef.h>
#include <stdint.h>

#define VISIBLE_UUID 64  /* bytes of "MIG-GPU-" with a UUID and two numbers, and some to spare */
#define VISIBLE_MOST 256 /* devices of one machine, instances counted */
#define VISIBLE_WORDS 64 /* so many words get a verdict of their own; the rest is counted */

enum visible_mig {
        VISIBLE_WHOLE,   /* not divided */
        VISIBLE_DIVIDED, /* into instances, which are in the inventory: none, where nobody has made any */
        VISIBLE_UNSEEN   /* divided too, but whoever made the inventory could not see into what */
};

struct visible_device {
        char uuid[VISIBLE_UUID]; /* as nvidia-smi -L writes it: "GPU-...", of an instance "MIG-..." */
        char name[64];
        char pci[20];          /* "0000:62:00.0"; "": not known */
        int64_t memory_bytes;  /* 0: not known */
        int gpu;               /* -1: this is a GPU; else an instance (MIG) of the GPU in that place of the inventory */
        enum visible_mig mig;  /* of a GPU */
        int instance, compute; /* IDs of GPU instance and compute instance; -1: not known */
        unsigned speed;        /* for FASTEST_FIRST: what is larger is faster; 0: not known */
};

struct visible_question {
        const char *text;                    /* CUDA_VISIBLE_DEVICES; NULL: not set */
        const char *order;                   /* CUDA_DEVICE_ORDER; NULL: not set */
        const struct visible_device *device; /* GPUs by PCI address, instances of each in the order of the driver */
        unsigned n;                          /* VISIBLE_MOST at most; further ones are not looked at */
};

enum visible_verdict {
        VISIBLE_COUNTS,    /* its device is visible */
        VISIBLE_HIDDEN,    /* it names a device, and another one, an instance, is the only one to be seen */
        VISIBLE_UNDONE,    /* it names a device, which a later word names again: then nothing is visible */
        VISIBLE_TWICE,     /* that later word */
        VISIBLE_NO_NUMBER, /* this one and the following end the list: neither a number nor a UUID */
        VISIBLE_NEGATIVE,
        VISIBLE_BEYOND,    /* no device has that number */
        VISIBLE_NOBODY,    /* no device has that UUID */
        VISIBLE_AMBIGUOUS, /* several have */
        VISIBLE_CASE,      /* one has, in other letters, large for small */
        VISIBLE_EMPTY_GPU, /* one has, but is divided and has no instances */
        VISIBLE_MIXED,     /* a UUID in a list of numbers, or any other mixture */
        VISIBLE_NOT_SEEN,  /* an instance, of which the inventory knows too little */
        VISIBLE_UNREAD     /* behind the end of the list */
};

struct visible_word {
        size_t at, length; /* in the text */
        enum visible_verdict verdict;
        int device; /* place in the inventory; VISIBLE_WHICH: not known, or none */
};

#define VISIBLE_WHICH (-1) /* there is a device, and which one cannot be known here */

/* Where the answer rests on more than what NVIDIA documents.  visible_doubt_text() has the sentences. */
enum visible_doubt {
        VISIBLE_DOUBT_FORM, /* spaces, signs and letters around a number */
        VISIBLE_DOUBT_TWICE,
        VISIBLE_DOUBT_END, /* what is no number, and ends the list all the same */
        VISIBLE_DOUBT_MIXED,
        VISIBLE_DOUBT_CASE,
        VISIBLE_DOUBT_LONG,
        VISIBLE_DOUBT_ORDER,    /* the order of devices that are not equally fast */
        VISIBLE_DOUBT_WORD,     /* a value of CUDA_DEVICE_ORDER that is not documented */
        VISIBLE_DOUBT_INDEX,    /* numbers where GPUs are divided */
        VISIBLE_DOUBT_PARENT,   /* the UUID of a GPU that is divided */
        VISIBLE_DOUBT_SHORT,    /* the beginning of an instance's UUID */
        VISIBLE_DOUBT_SPEED,    /* from here on nobody knows: which is faster */
        VISIBLE_DOUBT_INSTANCE, /* which instance it is */
        VISIBLE_DOUBTS
};

enum visible_certainty {
        VISIBLE_SURE,   /* NVIDIA documents it so */
        VISIBLE_LIKELY, /* NVIDIA is silent or says two things; others have seen it so */
        VISIBLE_UNKNOWN /* the answer cannot be known here, or not all of it */
};

struct visible {
        enum visible_certainty certainty;
        unsigned doubts;                         /* a bit for each enum visible_doubt */
        unsigned n;                              /* devices visible */
        int device[VISIBLE_MOST];                /* of each, in the program's numbers: its place, or VISIBLE_WHICH */
        size_t words;                            /* of the text; 0 when it is not set or empty */
        struct visible_word word[VISIBLE_WORDS]; /* as many of them as there is room for */
};

/* Fills *v.  Any text is allowed, of any length. */
void visible_resolve(struct visible *v, const struct visible_question *q);

/* What a rank makes of the devices that it sees. */
enum visible_share {
        VISIBLE_EACH_ALL, /* it uses all of them */
        VISIBLE_EACH_ONE  /* it uses one: the only one, or that of its number on the node */
};

enum visible_own {
        VISIBLE_OWN_NONE,   /* nothing is visible */
        VISIBLE_OWN_ALL,    /* all of them */
        VISIBLE_OWN_ONLY,   /* the only one, whatever the rank's number: another rank may see another one */
        VISIBLE_OWN_LOCAL,  /* the one with the rank's number on its node */
        VISIBLE_OWN_FIRST,  /* SLURM_LOCALID does not tell a number: CUDA begins with device 0 */
        VISIBLE_OWN_TOO_FEW /* the rank's number is beyond the devices: two ranks would share one */
};

/*
 * The devices that a rank uses: *n of them, from *first in the program's numbers.  localid: SLURM_LOCALID, or NULL.
 */
enum visible_own visible_own(const struct visible *v, enum visible_share share, const char *localid, unsigned *first,
                             unsigned *n);

/* "sure", "likely", "unknown". */
const char *visible_certainty_name(enum visible_certainty certainty);

/* What rests on what, as a sentence without its full stop; and how certain that leaves the answer. */
const char *visible_doubt_text(enum visible_doubt doubt);
enum visible_certainty visible_doubt_certainty(enum visible_doubt doubt);

/* Why the i-th word counts or not; why there are so many devices.  Sentences without a full stop; they answer out. */
const char *visible_word_text(char *out, size_t size, const struct visible *v, const struct visible_question *q,
                              size_t i);
const char *visible_whole_text(char *out, size_t size, const struct visible *v, const struct visible_question *q);

#endif
