/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * visible: reads CUDA_VISIBLE_DEVICES as CUDA does, word by word, until one ends the list.  The first word says what
 * kind of list it is: numbers, UUIDs of GPUs, or UUIDs of instances.  visible_text.c has the sentences.
 */
#include "visible.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LONG_TEXT 4096 /* bytes; no machine has so many devices that it would take more */

/* One device that a word or a number can stand for. */
struct choice {
        int gpu;         /* place of the GPU; VISIBLE_WHICH where the order is not known */
        int device;      /* what CUDA shows of it: the GPU, or one of its instances; VISIBLE_WHICH */
        int instance;    /* 1: an instance */
        int slot;        /* equal for the same device, also where nobody knows which it is */
        unsigned doubts; /* bits: why it may be another one; they count when it is shown */
};

enum kind { NUMBERS, GPUS, INSTANCES };

struct reading {
        const struct visible_question *q;
        unsigned n; /* of the inventory */
        struct visible *v;
        enum kind kind;
        struct choice all[VISIBLE_MOST]; /* by number */
        unsigned count;
        struct choice taken[VISIBLE_MOST]; /* by the words so far */
        size_t word_of[VISIBLE_MOST];      /* which took it */
        unsigned n_taken;
};

#define BIT(doubt) (1u << (doubt))

static void doubt(struct reading *r, unsigned doubts)
{
        unsigned i;

        r->v->doubts |= doubts;
        for (i = 0; i < VISIBLE_DOUBTS; i++)
                if ((doubts & BIT(i)) && visible_doubt_certainty(i) > r->v->certainty)
                        r->v->certainty = visible_doubt_certainty(i);
}

static int is_gpu(const struct reading *r, unsigned i)
{
        return r->q->device[i].gpu < 0;
}

/* ---- the devices by number --------------------------------------------------------------------------------------- */

/* The first instance of a GPU that is divided, which is the one that CUDA takes; VISIBLE_WHICH when there is none. */
static int first_instance(const struct reading *r, int gpu)
{
        unsigned i;

        for (i = 0; i < r->n; i++)
                if (r->q->device[i].gpu == gpu)
                        return (int)i;
        return VISIBLE_WHICH;
}

/* What CUDA shows of a GPU; 0 when that is nothing: it is divided, and nobody has made instances. */
static int choose_gpu(const struct reading *r, unsigned gpu, struct choice *c)
{
        const enum visible_mig mig = r->q->device[gpu].mig;

        *c = (struct choice){.gpu = (int)gpu, .device = (int)gpu, .slot = (int)gpu, .instance = mig != VISIBLE_WHOLE};
        if (mig == VISIBLE_WHOLE)
                return 1;
        c->device = c->slot = mig == VISIBLE_DIVIDED ? first_instance(r, (int)gpu) : VISIBLE_WHICH;
        if (mig == VISIBLE_DIVIDED)
                return c->device != VISIBLE_WHICH;
        c->slot = (int)gpu;
        c->doubts = BIT(VISIBLE_DOUBT_INSTANCE);
        return 1;
}

/* Stable, so that equals stay in the order of their PCI addresses. */
static void sort_by_speed(const struct reading *r, struct choice *c, unsigned n)
{
        unsigned i, at;

        for (i = 1; i < n; i++) {
                struct choice one = c[i];

                for (at = i; at > 0 && r->q->device[c[at - 1].gpu].speed < r->q->device[one.gpu].speed; at--)
                        c[at] = c[at - 1];
                c[at] = one;
        }
}

static int are_of_one_model(const struct reading *r, const struct choice *c, unsigned n)
{
        const char *name = n > 0 ? r->q->device[c[0].gpu].name : "";
        unsigned i;

        for (i = 1; i < n; i++)
                if (name[0] == '\0' || strcmp(r->q->device[c[i].gpu].name, name) != 0)
                        return 0;
        return 1;
}

static int speeds_are_known(const struct reading *r, const struct choice *c, unsigned n)
{
        unsigned i;

        for (i = 0; i < n; i++)
                if (r->q->device[c[i].gpu].speed == 0)
                        return 0;
        return 1;
}

/* Puts these in CUDA's order.  Where that is not known their number is, and their names are not. */
static void put_in_order(struct reading *r, struct choice *c, unsigned n)
{
        unsigned i, doubts = 0;

        if (n < 2 || (r->q->order != NULL && strcmp(r->q->order, "PCI_BUS_ID") == 0))
                return;
        if (r->q->order != NULL && strcmp(r->q->order, "FASTEST_FIRST") != 0)
                doubts |= BIT(VISIBLE_DOUBT_WORD);
        if (!are_of_one_model(r, c, n) && speeds_are_known(r, c, n)) {
                sort_by_speed(r, c, n);
                doubts |= BIT(VISIBLE_DOUBT_ORDER);
        } else if (!are_of_one_model(r, c, n)) {
                for (i = 0; i < n; i++) {
                        c[i].gpu = c[i].device = VISIBLE_WHICH;
                        c[i].slot = (int)(VISIBLE_MOST + (c - r->all) + i);
                }
                doubts |= BIT(VISIBLE_DOUBT_SPEED);
        }
        for (i = 0; i < n; i++)
                c[i].doubts |= doubts;
}

/* GPUs that are divided come behind the others, each as its first instance. */
static void enumerate(struct reading *r)
{
        unsigned i, whole;

        for (i = 0; i < r->n; i++)
                if (is_gpu(r, i) && r->q->device[i].mig == VISIBLE_WHOLE && choose_gpu(r, i, &r->all[r->count]))
                        r->count++;
        whole = r->count;
        for (i = 0; i < r->n; i++)
                if (is_gpu(r, i) && r->q->device[i].mig != VISIBLE_WHOLE && choose_gpu(r, i, &r->all[r->count]))
                        r->count++;
        put_in_order(r, r->all, whole);
        put_in_order(r, r->all + whole, r->count - whole);
}

static int any_is_divided(const struct reading *r)
{
        unsigned i;

        for (i = 0; i < r->n; i++)
                if (is_gpu(r, i) && r->q->device[i].mig != VISIBLE_WHOLE)
                        return 1;
        return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static enum kind kind_of(const char *word, size_t length)
{
        return length >= 4 && memcmp(word, "GPU-", 4) == 0   ? GPUS
               : length >= 4 && memcmp(word, "MIG-", 4) == 0 ? INSTANCES
                                                             : NUMBERS;
}

/*
 * A number as strtoul finds it at the beginning of a word: spaces and a sign before it, anything behind.  INT_MAX for
 * one that is larger.  *plain: there was nothing but digits.
 */
static enum visible_verdict read_number(const char *word, size_t length, int *number, int *plain)
{
        const size_t spaces = strspn(word, " \t\n\v\f\r");
        const char *at = word + (spaces < length ? spaces : length), *end = word + length;
        const int minus = at < end && *at == '-';
        const char *digits = at += minus || (at < end && *at == '+');
        int64_t value = 0;

        for (; at < end && *at >= '0' && *at <= '9'; at++)
                if (value < INT_MAX)
                        value = value * 10 + (*at - '0');
        *plain = digits == word && at == end;
        if (at == digits)
                return VISIBLE_NO_NUMBER;
        *number = value < INT_MAX ? (int)value : INT_MAX;
        return minus && value != 0 ? VISIBLE_NEGATIVE : VISIBLE_COUNTS;
}

static enum visible_verdict choose_number(struct reading *r, const char *word, size_t length, struct choice *c)
{
        int number = 0, plain;
        enum visible_verdict verdict = read_number(word, length, &number, &plain);

        if (kind_of(word, length) != NUMBERS) {
                doubt(r, BIT(VISIBLE_DOUBT_MIXED));
                return VISIBLE_MIXED;
        }
        if (verdict != VISIBLE_COUNTS)
                return verdict;
        doubt(r, (plain ? 0 : BIT(VISIBLE_DOUBT_FORM)) | (any_is_divided(r) ? BIT(VISIBLE_DOUBT_INDEX) : 0));
        if ((unsigned)number >= r->count)
                return VISIBLE_BEYOND;
        *c = r->all[number];
        return VISIBLE_COUNTS;
}

/* ---- UUIDs ------------------------------------------------------------------------------------------------------- */

static char small(char c)
{
        return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int begins_with(const char *uuid, const char *word, size_t length, int any_case)
{
        size_t i;

        for (i = 0; i < length; i++)
                if (uuid[i] == '\0' || (any_case ? small(uuid[i]) != small(word[i]) : uuid[i] != word[i]))
                        return 0;
        return 1;
}

/* How many GPUs, or instances, have a UUID that begins so; *found is the first. */
static unsigned find_uuid(const struct reading *r, int instances, const char *word, size_t length, int any_case,
                          unsigned *found)
{
        unsigned i, n = 0;

        for (i = 0; i < r->n; i++)
                if (is_gpu(r, i) == !instances && begins_with(r->q->device[i].uuid, word, length, any_case) && n++ == 0)
                        *found = i;
        return n;
}

static enum visible_verdict not_found(struct reading *r, int instances, const char *word, size_t length)
{
        unsigned found;

        if (find_uuid(r, instances, word, length, 1, &found) == 0)
                return VISIBLE_NOBODY;
        doubt(r, BIT(VISIBLE_DOUBT_CASE));
        return VISIBLE_CASE;
}

static enum visible_verdict choose_uuid(struct reading *r, const char *word, size_t length, struct choice *c)
{
        unsigned found = 0, n = find_uuid(r, 0, word, length, 0, &found);

        if (n == 0)
                return not_found(r, 0, word, length);
        if (n > 1)
                return VISIBLE_AMBIGUOUS;
        if (r->q->device[found].mig != VISIBLE_WHOLE)
                doubt(r, BIT(VISIBLE_DOUBT_PARENT));
        return choose_gpu(r, found, c) ? VISIBLE_COUNTS : VISIBLE_EMPTY_GPU;
}

/* ---- instances --------------------------------------------------------------------------------------------------- */

static int anything_is_unseen(const struct reading *r)
{
        unsigned i;

        for (i = 0; i < r->n; i++)
                if (is_gpu(r, i) && r->q->device[i].mig == VISIBLE_UNSEEN)
                        return 1;
        return 0;
}

/* "/1/0" at the end of the older form: its two numbers. */
static int read_ids(const char *at, const char *end, int *instance, int *compute)
{
        int *const id[] = {instance, compute};
        int i, plain;

        for (i = 0; i < 2; i++) {
                const char *slash = at < end && *at == '/' ? memchr(at + 1, '/', (size_t)(end - at - 1)) : NULL;
                const char *stop = slash != NULL ? slash : end;

                if (at == end || *at != '/' ||
                    read_number(at + 1, (size_t)(stop - at - 1), id[i], &plain) != VISIBLE_COUNTS || !plain)
                        return -1;
                at = stop;
        }
        return at == end ? 0 : -1;
}

/* An instance of a GPU by its numbers.  Where the inventory has instances without numbers it may be one of them. */
static enum visible_verdict choose_by_ids(const struct reading *r, unsigned gpu, int instance, int compute,
                                          struct choice *c)
{
        int untold = r->q->device[gpu].mig == VISIBLE_UNSEEN;
        unsigned i;

        for (i = 0; i < r->n; i++) {
                const struct visible_device *d = &r->q->device[i];

                if (d->gpu != (int)gpu)
                        continue;
                if (d->instance == instance && d->compute == compute) {
                        *c = (struct choice){.gpu = (int)gpu, .device = (int)i, .instance = 1, .slot = (int)i};
                        return VISIBLE_COUNTS;
                }
                untold |= d->instance < 0 || d->compute < 0;
        }
        return untold ? VISIBLE_NOT_SEEN : VISIBLE_NOBODY;
}

/* "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/2", the older form. */
static enum visible_verdict choose_numbered(struct reading *r, const char *word, size_t length, struct choice *c)
{
        const char *gpu = word + strlen("MIG-"), *end = word + length;
        const char *slash = memchr(gpu, '/', (size_t)(end - gpu));
        const size_t uuid = (size_t)((slash != NULL ? slash : end) - gpu);
        unsigned found = 0, n = find_uuid(r, 0, gpu, uuid, 0, &found);
        int instance, compute;

        if (n > 1)
                return VISIBLE_AMBIGUOUS;
        if (n == 0 || slash == NULL || read_ids(slash, end, &instance, &compute) != 0)
                return VISIBLE_NOBODY;
        if (r->q->device[found].uuid[uuid] != '\0')
                doubt(r, BIT(VISIBLE_DOUBT_SHORT));
        return choose_by_ids(r, found, instance, compute, c);
}

static enum visible_verdict choose_instance(struct reading *r, const char *word, size_t length, struct choice *c)
{
        unsigned found = 0, n = find_uuid(r, 1, word, length, 0, &found);

        if (n > 1)
                return VISIBLE_AMBIGUOUS;
        if (n == 0 && length > 8 && memcmp(word, "MIG-GPU-", 8) == 0)
                return choose_numbered(r, word, length, c);
        if (n == 0)
                return anything_is_unseen(r) ? VISIBLE_NOT_SEEN : not_found(r, 1, word, length);
        if (r->q->device[found].uuid[length] != '\0')
                doubt(r, BIT(VISIBLE_DOUBT_SHORT));
        *c = (struct choice){.gpu = r->q->device[found].gpu, .device = (int)found, .instance = 1, .slot = (int)found};
        return VISIBLE_COUNTS;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static enum visible_verdict choose(struct reading *r, const char *word, size_t length, struct choice *c)
{
        if (r->kind == NUMBERS)
                return choose_number(r, word, length, c);
        if (kind_of(word, length) != r->kind) {
                doubt(r, BIT(VISIBLE_DOUBT_MIXED));
                return VISIBLE_MIXED;
        }
        return r->kind == GPUS ? choose_uuid(r, word, length, c) : choose_instance(r, word, length, c);
}

static void judge(struct reading *r, size_t i, enum visible_verdict verdict, int device)
{
        if (i < VISIBLE_WORDS) {
                r->v->word[i].verdict = verdict;
                r->v->word[i].device = device;
        }
}

/* A device that is named twice: nothing is visible, and that is what each of the words hears. */
static void undo(struct reading *r)
{
        unsigned k;

        doubt(r, BIT(VISIBLE_DOUBT_TWICE));
        for (k = 0; k < r->n_taken; k++)
                judge(r, r->word_of[k], VISIBLE_UNDONE, r->taken[k].device);
        r->n_taken = 0;
}

/* 1 while the list goes on behind this word.  An instance that the inventory does not know is taken for one. */
static int take(struct reading *r, size_t i, const char *word, size_t length)
{
        struct choice c = {.gpu = VISIBLE_WHICH, .device = VISIBLE_WHICH};
        enum visible_verdict verdict = choose(r, word, length, &c);
        unsigned k;

        if (verdict == VISIBLE_NOT_SEEN)
                c = (struct choice){.gpu = VISIBLE_WHICH,
                                    .device = VISIBLE_WHICH,
                                    .instance = 1,
                                    .slot = -1,
                                    .doubts = BIT(VISIBLE_DOUBT_INSTANCE)};
        if (verdict == VISIBLE_NO_NUMBER || verdict == VISIBLE_NOBODY || verdict == VISIBLE_AMBIGUOUS ||
            verdict == VISIBLE_EMPTY_GPU)
                doubt(r, BIT(VISIBLE_DOUBT_END));
        for (k = 0; k < r->n_taken && verdict == VISIBLE_COUNTS; k++)
                if (r->taken[k].slot == c.slot)
                        verdict = VISIBLE_TWICE;
        judge(r, i, verdict, c.device);
        if (verdict == VISIBLE_TWICE)
                undo(r);
        if ((verdict != VISIBLE_COUNTS && verdict != VISIBLE_NOT_SEEN) || r->n_taken == VISIBLE_MOST)
                return 0;
        r->word_of[r->n_taken] = i;
        r->taken[r->n_taken++] = c;
        return verdict == VISIBLE_COUNTS;
}

/* All words are counted and noted, those behind the end too; at most one more than there are devices is looked up. */
static void read_list(struct reading *r)
{
        const char *at = r->q->text;
        int going = 1;

        for (;; at++) {
                const size_t length = strcspn(at, ","), i = r->v->words++;

                if (i < VISIBLE_WORDS)
                        r->v->word[i] =
                                (struct visible_word){(size_t)(at - r->q->text), length, VISIBLE_UNREAD, VISIBLE_WHICH};
                going = going && take(r, i, at, length);
                at += length;
                if (*at == '\0')
                        break;
        }
        if ((size_t)(at - r->q->text) > LONG_TEXT)
                doubt(r, BIT(VISIBLE_DOUBT_LONG));
}

/* A process gets one instance at most, and beside it no other device: the first instance of its list. */
static void show(struct reading *r)
{
        unsigned i, only = VISIBLE_MOST;

        for (i = 0; i < r->n_taken && only == VISIBLE_MOST; i++)
                if (r->taken[i].instance)
                        only = i;
        for (i = 0; i < r->n_taken; i++) {
                if (only == VISIBLE_MOST || i == only) {
                        r->v->device[r->v->n++] = r->taken[i].device;
                        doubt(r, r->taken[i].doubts);
                } else if (r->v->words > 0) {
                        judge(r, r->word_of[i], VISIBLE_HIDDEN, r->taken[i].device);
                }
        }
}

void visible_resolve(struct visible *v, const struct visible_question *q)
{
        struct reading r = {.q = q, .v = v, .n = q->n < VISIBLE_MOST ? q->n : VISIBLE_MOST};

        memset(v, 0, sizeof *v);
        if (q->text != NULL && q->text[0] == '\0')
                return;
        r.kind = q->text != NULL ? kind_of(q->text, strcspn(q->text, ",")) : NUMBERS;
        enumerate(&r);
        if (q->text != NULL) {
                read_list(&r);
        } else {
                memcpy(r.taken, r.all, r.count * sizeof r.all[0]);
                r.n_taken = r.count;
        }
        show(&r);
}

/* ---- ranks ------------------------------------------------------------------------------------------------------- */

enum visible_own visible_own(const struct visible *v, enum visible_share share, const char *localid, unsigned *first,
                             unsigned *n)
{
        int number = 0, plain = 0;
        const int told =
                localid != NULL && read_number(localid, strlen(localid), &number, &plain) == VISIBLE_COUNTS && plain;

        *first = 0;
        *n = share == VISIBLE_EACH_ALL ? v->n : v->n > 0;
        if (v->n == 0)
                return VISIBLE_OWN_NONE;
        if (share == VISIBLE_EACH_ALL)
                return VISIBLE_OWN_ALL;
        if (v->n == 1)
                return VISIBLE_OWN_ONLY;
        if (!told)
                return VISIBLE_OWN_FIRST;
        *n = (unsigned)number < v->n;
        *first = *n != 0 ? (unsigned)number : 0;
        return *n != 0 ? VISIBLE_OWN_LOCAL : VISIBLE_OWN_TOO_FEW;
}
