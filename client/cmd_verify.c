/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_verify: `stint verify`: reads checkpoints back from disk, byte by byte, against manifest, seals and hashes.  What
 * a restore would refuse is found here first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "catalog.h"
#include "clock.h"
#include "cmd.h"
#include "duration.h"
#include "image.h"
#include "pick.h"
#include "print.h"
#include "run.h"

#define EXIT_DAMAGED 1
#define PROGRESS_NS (100 * CLOCK_MS)

struct verify_options {
        int all, json;
};

static const struct flag table[] = {
        {"--all", NULL, offsetof(struct verify_options, all), flag_switch, "every checkpoint that calls itself whole",
         NULL},
        {"--json", NULL, offsetof(struct verify_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint verify [OPTION...] [RUN] [STEP|newest|best]\n\n"
        "Reads the checkpoint of that step (default: newest) again and checks every byte. Exit code 0: it\n"
        "holds; 1: damaged, with what does not hold; 125: it could not be checked.";

enum outcome { HOLDS, GONE, DAMAGED, UNREADABLE };

/* One checkpoint being read. */
struct reading {
        const char *name;
        uint64_t bytes, before; /* of all its files; of those read already */
        int64_t started_ns, shown_ns;
        int show; /* there is somebody to look at it */
};

static void on_progress(void *arg, uint64_t bytes)
{
        struct reading *r = arg;
        int64_t now_ns = clock_now();
        uint64_t done = r->before + bytes;

        if (!r->show || now_ns - r->shown_ns < PROGRESS_NS)
                return;
        r->shown_ns = now_ns;
        fprintf(stderr, "\r%s: %3.0f %%", r->name, r->bytes ? 100.0 * (double)done / (double)r->bytes : 100.0);
}

static void progress_end(const struct reading *r)
{
        if (r->shown_ns)
                fprintf(stderr, "\r%*s\r", (int)strlen(r->name) + 10, "");
}

/* One rank's file against its seal, which the manifest vouches for (checked before). */
static int check_rank(const struct manifest *m, const char *dir, uint32_t rank, struct reading *r,
                      struct stint_error *err)
{
        char name[RUNDIR_NAME], path[RUNDIR_PATH + 3 * RUNDIR_NAME];
        struct seal seal;

        if (rundir_join(path, sizeof path, dir, rundir_rank_seal(name, rank, m->ranks), NULL, err) ||
            seal_read(&seal, path, err) ||
            rundir_join(path, sizeof path, dir, rundir_rank_file(name, rank, m->ranks), NULL, err))
                return -1;
        if (image_check_file(path, &seal, on_progress, r, err))
                return -1;
        r->before += m->rank[rank].file_bytes;
        return 0;
}

static int check_all_ranks(const struct manifest *m, const char *dir, struct reading *r, struct stint_error *err)
{
        for (uint32_t rank = 0; rank < m->ranks; rank++)
                if (check_rank(m, dir, rank, r, err))
                        return -1;
        return 0;
}

/* What the catalog says of an entry begins with its name, which stands before everything that is said here already. */
static int bad_manifest(const struct catalog_entry *e, struct stint_error *err)
{
        size_t n = strlen(e->name);
        const char *text = e->problem.text;

        if (!strncmp(text, e->name, n) && !strncmp(text + n, ": ", 2))
                text += n + 2;
        return error_set(err, e->problem.code ? e->problem.code : EBADMSG, "%s", text);
}

static int check_files(const struct catalog_entry *e, const char *dir, struct reading *r, struct stint_error *err)
{
        if (!e->has_manifest)
                return bad_manifest(e, err);
        r->bytes = manifest_bytes(&e->manifest);
        r->show = isatty(STDERR_FILENO);
        if (manifest_verify(&e->manifest, dir, 0, err))
                return -1;
        return check_all_ranks(&e->manifest, dir, r, err);
}

/* A file that is missing is damage like one that has changed; but a run that is running prunes whole checkpoints. */
static enum outcome check_entry(const struct catalog_entry *e, const char *run, struct reading *r,
                                struct stint_error *err)
{
        char dir[RUNDIR_PATH + 2 * RUNDIR_NAME];
        int rc;

        if (rundir_join(dir, sizeof dir, run, RUNDIR_CHECKPOINTS, e->name, err))
                return UNREADABLE;
        rc = check_files(e, dir, r, err);
        progress_end(r);
        if (!rc)
                return HOLDS;
        if (access(dir, F_OK) && errno == ENOENT) {
                error_set(err, ENOENT, "it was removed or set aside while it was read");
                return GONE;
        }
        return err->code == EBADMSG || err->code == ENOENT || err->code == ENODATA ? DAMAGED : UNREADABLE;
}

static json_t *outcome_json(const struct catalog_entry *e, enum outcome outcome, const struct reading *r,
                            const struct stint_error *err)
{
        static const char *const words[] = {"ok", "gone", "damaged", "unreadable"};
        json_t *o = json_pack("{s:s, s:I, s:s, s:I, s:f}", "checkpoint", e->name, "step", (json_int_t)e->step,
                              "outcome", words[outcome], "bytes", (json_int_t)r->before, "took_s",
                              (double)(clock_now() - r->started_ns) / 1e9);

        if (outcome != HOLDS)
                json_object_set_new(o, "problem", json_string(err->text));
        return o;
}

static void outcome_text(const struct catalog_entry *e, enum outcome outcome, const struct reading *r,
                         const struct stint_error *err)
{
        char size[32], took[32];

        printf("%s: ", e->name);
        if (outcome == HOLDS) {
                print_coloured(stdout, PRINT_GOOD, "ok");
                printf(", %s in %s\n", print_size(size, sizeof size, (int64_t)r->before),
                       duration_format(took, sizeof took, clock_now() - r->started_ns));
                return;
        }
        if (outcome == GONE)
                print_coloured(stdout, PRINT_WARNING, "gone");
        else
                print_coloured(stdout, PRINT_BAD, outcome == DAMAGED ? "DAMAGED" : "could not be read");
        printf(": %s\n", err->text);
}

/* Checks one and says so, into `out` when that is an array. */
static enum outcome verify_one(const struct catalog_entry *e, const char *run, json_t *out)
{
        struct reading r = {.name = e->name, .started_ns = clock_now()};
        struct stint_error err = {0};
        enum outcome outcome = check_entry(e, run, &r, &err);

        if (out)
                json_array_append_new(out, outcome_json(e, outcome, &r, &err));
        else
                outcome_text(e, outcome, &r, &err);
        return outcome;
}

static int worse(int a, int b)
{
        return a > b ? a : b;
}

/* The worst outcome, or -1 when there is nothing to verify.  One of all that is gone is none the worse for it. */
static int verify(const struct catalog *c, const char *run, const struct verify_options *o, const char *word,
                  json_t *out, struct stint_error *err)
{
        const struct catalog_entry *chosen;
        int worst = HOLDS, n = 0;

        if (!o->all) {
                chosen = pick_checkpoint(c, word, err);
                return chosen ? (int)verify_one(chosen, run, out) : -1;
        }
        for (size_t i = 0; i < c->n; i++)
                if (c->entries[i].kind == RUNDIR_WHOLE) {
                        enum outcome outcome = verify_one(&c->entries[i], run, out);

                        worst = worse(worst, outcome == GONE ? HOLDS : (int)outcome);
                        n++;
                }
        return n ? worst : error_set(err, ENOENT, "there is no checkpoint to verify in %s", run);
}

int cmd_verify(int argc, char **argv)
{
        struct verify_options o = {0};
        struct stint_error err;
        struct catalog c;
        char run[RUNDIR_PATH], **words, **rest;
        json_t *out;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        if (pick_from_words(run, words, o.all ? 1 : 2, &rest, &err) || catalog_read(&c, run, &err))
                return cmd_fail("verify", &err);
        out = o.json ? json_array() : NULL;
        rc = verify(&c, run, &o, *rest, out, &err);
        catalog_fini(&c);
        if (rc < 0) {
                json_decref(out);
                return cmd_fail("verify", &err);
        }
        if (out && print_json(out, stdout, &err))
                return cmd_fail("verify", &err);
        return rc == HOLDS ? 0 : rc == DAMAGED ? EXIT_DAMAGED : EXIT_OWN;
}
