/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * visible_text: what visible.c found out, as sentences for a person who wonders why a program sees no device, or
 * another one.  `stint doctor` calls in, and the test from which docs/devices.md has its table.
 */
#include "visible.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
        enum visible_certainty certainty;
        const char *text;
} doubts[VISIBLE_DOUBTS] = {
        [VISIBLE_DOUBT_FORM] = {VISIBLE_LIKELY,
                                "spaces, signs and letters around a number are not documented; drivers have "
                                "read such words as strtoul does"},
        [VISIBLE_DOUBT_TWICE] = {VISIBLE_LIKELY,
                                 "what a device named twice does is not documented; drivers have then shown "
                                 "none at all"},
        [VISIBLE_DOUBT_END] = {VISIBLE_LIKELY,
                               "that the list ends where a number is invalid is documented; of UUIDs and other "
                               "words it has been seen"},
        [VISIBLE_DOUBT_MIXED] = {VISIBLE_LIKELY,
                                 "numbers and UUIDs in one list are not documented; drivers have ended the list "
                                 "at the first word of another kind"},
        [VISIBLE_DOUBT_CASE] = {VISIBLE_UNKNOWN,
                                "whether large letters of a UUID count as small ones is not documented, and "
                                "here they do not: write it as nvidia-smi -L does"},
        [VISIBLE_DOUBT_LONG] = {VISIBLE_LIKELY, "how long the text may be is not documented"},
        [VISIBLE_DOUBT_ORDER] = {VISIBLE_LIKELY,
                                 "which of several unequal GPUs is how fast is CUDA's own guess, and older "
                                 "documentation promises device 0 only: CUDA_DEVICE_ORDER=PCI_BUS_ID makes "
                                 "numbers certain"},
        [VISIBLE_DOUBT_WORD] = {VISIBLE_LIKELY, "CUDA_DEVICE_ORDER has a value that is not documented; it is taken for "
                                                "FASTEST_FIRST"},
        [VISIBLE_DOUBT_INDEX] = {VISIBLE_LIKELY,
                                 "numbers where GPUs are divided (MIG) are not documented; others have seen GPUs "
                                 "that are whole counted first, and of each divided one its first instance"},
        [VISIBLE_DOUBT_PARENT] = {VISIBLE_LIKELY,
                                  "what the UUID of a divided GPU (MIG) stands for is not documented; its first "
                                  "instance is taken: name the instance"},
        [VISIBLE_DOUBT_SHORT] = {VISIBLE_LIKELY,
                                 "that UUIDs may be cut short is documented of GPUs and not of instances"},
        [VISIBLE_DOUBT_SPEED] = {VISIBLE_UNKNOWN,
                                 "numbers go by speed (CUDA_DEVICE_ORDER=FASTEST_FIRST, the default), and which "
                                 "of these GPUs CUDA holds for faster cannot be seen here: "
                                 "CUDA_DEVICE_ORDER=PCI_BUS_ID makes numbers certain"},
        [VISIBLE_DOUBT_INSTANCE] = {VISIBLE_UNKNOWN,
                                    "which instances (MIG) there are, or their numbers, cannot be seen here; "
                                    "nvidia-smi -L would tell"},
};

/* Format with the number of the word in the text, from 1. */
static const char *const verdicts[] = {
        [VISIBLE_COUNTS] = "is",
        [VISIBLE_HIDDEN] = "is not shown: a process gets one instance (MIG) at most, and no other device beside it",
        [VISIBLE_UNDONE] = "is lost, because a later word names that device again",
        [VISIBLE_TWICE] = "names a device a second time, and then no device at all is visible",
        [VISIBLE_NO_NUMBER] = "is neither a number nor a UUID",
        [VISIBLE_NEGATIVE] = "is no number of a device",
        [VISIBLE_BEYOND] = "is beyond the last device",
        [VISIBLE_NOBODY] = "is no device of this machine, or none that can be seen here",
        [VISIBLE_AMBIGUOUS] = "is how the UUIDs of several devices begin",
        [VISIBLE_CASE] = "is the UUID of a device in other letters, large ones for small ones",
        [VISIBLE_EMPTY_GPU] = "is a GPU that is divided (MIG) and has no instances",
        [VISIBLE_MIXED] = "is of another kind than the first word",
        [VISIBLE_NOT_SEEN] = "may be an instance (MIG) that cannot be seen here",
        [VISIBLE_UNREAD] = "is not read",
};

const char *visible_certainty_name(enum visible_certainty certainty)
{
        static const char *const names[] = {"sure", "likely", "unknown"};

        return names[certainty];
}

const char *visible_doubt_text(enum visible_doubt doubt)
{
        return doubts[doubt].text;
}

enum visible_certainty visible_doubt_certainty(enum visible_doubt doubt)
{
        return doubts[doubt].certainty;
}

/* Which of the program's devices the i-th word made; n when it made none. */
static unsigned number_of(const struct visible *v, size_t i)
{
        unsigned k, number = 0;

        for (k = 0; k < i && k < VISIBLE_WORDS; k++)
                number += v->word[k].verdict == VISIBLE_COUNTS;
        return number;
}

/* Words that end the list: all behind them is not read. */
static int ends(enum visible_verdict verdict)
{
        return verdict >= VISIBLE_NO_NUMBER && verdict <= VISIBLE_MIXED;
}

static const char *word_reason(const char *word, size_t length, enum visible_verdict verdict)
{
        if (length == 0 && verdict == VISIBLE_NO_NUMBER)
                return "is empty";
        if (length == strlen("NoDevFiles") && memcmp(word, "NoDevFiles", length) == 0)
                return "is what Slurm writes for a job that was given no GPU";
        return verdicts[verdict];
}

const char *visible_word_text(char *out, size_t size, const struct visible *v, const struct visible_question *q,
                              size_t i)
{
        const struct visible_word *w = &v->word[i];
        const char *word = q->text + w->at;
        const int length = w->length < 80 ? (int)w->length : 80;
        const char *cut = w->length > 80 ? "..." : "";

        if (w->verdict == VISIBLE_COUNTS && w->device != VISIBLE_WHICH)
                snprintf(out, size, "'%.*s%s' is %s (%s), which the program sees as device %u", length, word, cut,
                         q->device[w->device].uuid[0] != '\0' ? q->device[w->device].uuid : "a device without a UUID",
                         q->device[w->device].name, number_of(v, i));
        else if (w->verdict == VISIBLE_COUNTS)
                snprintf(out, size, "'%.*s%s' is a device, which the program sees as device %u", length, word, cut,
                         number_of(v, i));
        else
                snprintf(out, size, "'%.*s%s' %s%s%s", length, word, cut, word_reason(word, w->length, w->verdict),
                         ends(w->verdict) ? ", which ends the list" : "",
                         ends(w->verdict) && i + 1 < v->words ? ": what is behind it is not read" : "");
        return out;
}

/* Whether an instance is all that is shown, because no list names another one. */
static int is_instance_alone(const struct visible *v, const struct visible_question *q)
{
        return v->n == 1 && q->n > 1 && v->device[0] != VISIBLE_WHICH && q->device[v->device[0]].gpu >= 0;
}

const char *visible_whole_text(char *out, size_t size, const struct visible *v, const struct visible_question *q)
{
        const char *there = q->n == 0 ? ": none were found on this machine" : "";

        if (q->text == NULL && v->n == 0)
                snprintf(out, size, "it is not set, and there are no devices that a program could see");
        else if (q->text == NULL && is_instance_alone(v, q))
                snprintf(out, size, "it is not set, so a program sees the first instance (MIG) and nothing beside it");
        else if (q->text == NULL)
                snprintf(out, size, "it is not set, so a program sees every device: %u", v->n);
        else if (q->text[0] == '\0')
                snprintf(out, size, "it is empty, which hides every device");
        else if (v->n == 0)
                snprintf(out, size, "a program sees no device%s", there);
        else
                snprintf(out, size, "a program sees %u device%s", v->n, v->n > 1 ? "s" : "");
        return out;
}
