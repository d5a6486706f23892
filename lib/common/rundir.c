/* SPDX-License-Identifier: BSD-3-Clause */
/* rundir: spells the names within a run directory and reads them back; called by agent, `stint run` and the verbs. */
#include "rundir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "durable.h"

/* Where that many of one name were set aside something is wrong that one more would not cure. */
#define ASIDE_MOST 9999

static const char *const prefixes[] = {
        [RUNDIR_ABANDONED] = "abandoned-",
        [RUNDIR_QUARANTINED] = "quarantined-",
        [RUNDIR_SUPERSEDED] = "superseded-",
        [RUNDIR_RETIRED] = "retired-",
};

/* What a name is made of: [PREFIX]step-STEP[.sSTINT][.part | .COPY]. */
struct parts {
        enum rundir_kind kind;
        int64_t step;
        uint32_t stint; /* 0: the name has none */
        unsigned copy;  /* 0: the first of its name has no number */
};

const char *rundir_whole(char *out, int64_t step)
{
        snprintf(out, RUNDIR_NAME, "step-%012lld", (long long)step);
        return out;
}

const char *rundir_part(char *out, int64_t step, uint32_t stint)
{
        snprintf(out, RUNDIR_NAME, "step-%012lld.s%u.part", (long long)step, stint);
        return out;
}

const char *rundir_rank_file(char *out, uint32_t rank, uint32_t ranks)
{
        snprintf(out, RUNDIR_NAME, "rank-%05u-of-%05u.h5", rank, ranks);
        return out;
}

const char *rundir_rank_seal(char *out, uint32_t rank, uint32_t ranks)
{
        snprintf(out, RUNDIR_NAME, "rank-%05u-of-%05u.seal", rank, ranks);
        return out;
}

static const char *spell_aside(char *out, const struct parts *p)
{
        char stint[16] = "", copy[16] = "";

        if (p->stint)
                snprintf(stint, sizeof stint, ".s%u", p->stint);
        if (p->copy)
                snprintf(copy, sizeof copy, ".%u", p->copy);
        snprintf(out, RUNDIR_NAME, "%sstep-%012lld%s%s", prefixes[p->kind], (long long)p->step, stint, copy);
        return out;
}

static const char *spell(char *out, const struct parts *p)
{
        switch (p->kind) {
        case RUNDIR_WHOLE:
                return rundir_whole(out, p->step);
        case RUNDIR_PART:
                return rundir_part(out, p->step, p->stint);
        default:
                return spell_aside(out, p);
        }
}

/* Digits at *at, which moves behind them.  -1: none, or more than `most`. */
static int read_number(const char **at, uint64_t most, uint64_t *number)
{
        uint64_t value = 0;

        if (**at < '0' || **at > '9')
                return -1;
        for (; **at >= '0' && **at <= '9'; (*at)++) {
                uint64_t digit = (uint64_t)(**at - '0');

                if (value > (most - digit) / 10)
                        return -1;
                value = value * 10 + digit;
        }
        *number = value;
        return 0;
}

static int skip(const char **at, const char *word)
{
        size_t n = strlen(word);

        if (strncmp(*at, word, n) != 0)
                return 0;
        *at += n;
        return 1;
}

/* Reads the pieces; whether they are written the one way there is, parse() sees by writing them again. */
static int read_parts(const char *at, struct parts *p)
{
        uint64_t number;

        *p = (struct parts){.kind = RUNDIR_WHOLE};
        for (int kind = RUNDIR_ABANDONED; kind <= RUNDIR_RETIRED; kind++) {
                if (skip(&at, prefixes[kind])) {
                        p->kind = (enum rundir_kind)kind;
                        break;
                }
        }
        if (!skip(&at, "step-") || read_number(&at, INT64_MAX, &number) < 0)
                return -1;
        p->step = (int64_t)number;
        if (skip(&at, ".s")) {
                if (read_number(&at, UINT32_MAX, &number) < 0)
                        return -1;
                p->stint = (uint32_t)number;
        }
        if (p->kind == RUNDIR_WHOLE && p->stint && skip(&at, ".part")) {
                p->kind = RUNDIR_PART;
        } else if (p->kind != RUNDIR_WHOLE && skip(&at, ".")) {
                if (read_number(&at, ASIDE_MOST, &number) < 0 || number < 2)
                        return -1;
                p->copy = (unsigned)number;
        }
        return *at == '\0' ? 0 : -1;
}

static int parse(const char *name, struct parts *p)
{
        char again[RUNDIR_NAME];

        return read_parts(name, p) == 0 && strcmp(spell(again, p), name) == 0 ? 0 : -1;
}

enum rundir_kind rundir_parse(const char *name, int64_t *step, uint32_t *stint)
{
        struct parts p;

        if (parse(name, &p) < 0)
                return RUNDIR_OTHER;
        if (step)
                *step = p.step;
        if (stint)
                *stint = p.stint;
        return p.kind;
}

int rundir_join(char *out, size_t size, const char *dir, const char *a, const char *b, struct stint_error *err)
{
        int n = snprintf(out, size, "%s/%s%s%s", dir, a, b ? "/" : "", b ? b : "");

        if (n < 0 || (size_t)n >= size)
                return error_set(err, ENAMETOOLONG,
                                 "the path %.200s.../%.100s is longer than %zu bytes; use a shorter run directory", dir,
                                 b ? b : a, size - 1);
        return 0;
}

int rundir_set_aside(const char *checkpoints, const char *name, enum rundir_kind kind, char *now,
                     struct stint_error *err)
{
        char from[RUNDIR_PATH + RUNDIR_NAME], to[RUNDIR_PATH + RUNDIR_NAME], spelled[RUNDIR_NAME];
        struct stint_error why;
        struct parts p;

        if (kind < RUNDIR_ABANDONED || kind > RUNDIR_RETIRED || parse(name, &p) < 0)
                return error_set(err, EINVAL, "%s/%s is not the name of a checkpoint; it stays where it is",
                                 checkpoints, name);
        if (rundir_join(from, sizeof from, checkpoints, name, NULL, err) < 0)
                return -1;
        p.kind = kind;
        p.copy = 0;
        do {
                if (rundir_join(to, sizeof to, checkpoints, spell_aside(spelled, &p), NULL, err) < 0)
                        return -1;
                if (durable_rename(from, to, &why) == 0) {
                        memcpy(now, spelled, strlen(spelled) + 1);
                        return 0;
                }
                p.copy = p.copy ? p.copy + 1 : 2;
        } while (why.code == EEXIST && p.copy <= ASIDE_MOST);
        return error_set(err, why.code, "%s", why.text);
}
