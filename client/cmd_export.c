/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_export: `stint export`: chooses a checkpoint, looks whether all its files are there, and becomes stint-export,
 * which makes the HDF5 file.  That is a program of its own so that no other verb has to load HDF5 when it starts.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "catalog.h"
#include "cmd.h"
#include "libexec.h"
#include "pick.h"
#include "run.h"

#define EXIT_DAMAGED 1
#define WORDS_MOST 3 /* RUN STEP OUT */

struct export_options {
        int copy, absolute;
};

static const struct flag table[] = {
        {"--copy", NULL, offsetof(struct export_options, copy), flag_switch,
         "the bytes themselves, each tensor proven by its hash, instead of references to the checkpoint's files", NULL},
        {"--absolute", NULL, offsetof(struct export_options, absolute), flag_switch,
         "references by absolute paths also where the file lies in or beside the run", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] =
        "Usage: stint export [OPTION...] [RUN] [STEP|newest|best] OUT.h5\n\n"
        "Makes a file in which h5py and others find the arrays of that checkpoint (default: newest) as the training\n"
        "had them: /state/NAME, put together of the shards of all ranks; /ranks/R/state/NAME what each rank has for\n"
        "itself. It refers to the checkpoint's files, and is good for as long as they are there; with --copy it\n"
        "stands alone. Exit code 1: the checkpoint is damaged; 125: the file could not be made.";

/* The one that is meant, whole: its directory, and how many ranks it has.  -1 with EBADMSG when it does not hold. */
static int choose(const struct catalog *c, const char *run, const char *word, char *dir, size_t size, uint32_t *ranks,
                  struct stint_error *err)
{
        const struct catalog_entry *e = pick_checkpoint(c, word, err);

        if (!e || rundir_join(dir, size, run, RUNDIR_CHECKPOINTS, e->name, err))
                return -1;
        if (!e->has_manifest)
                return error_set(err, e->problem.code ? e->problem.code : EBADMSG, "%s", e->problem.text);
        *ranks = e->manifest.ranks;
        return manifest_verify(&e->manifest, dir, 0, err) ? error_wrap(err, "%s", e->name) : 0;
}

static int find(const char *run, const char *word, char *dir, size_t size, uint32_t *ranks, struct stint_error *err)
{
        struct catalog c;
        int rc;

        if (catalog_read(&c, run, err))
                return -1;
        rc = choose(&c, run, word, dir, size, ranks, err);
        catalog_fini(&c);
        return rc;
}

/* Comes back only when that program cannot be executed. */
static int become(const struct export_options *o, char *dir, uint32_t ranks, char *out, struct stint_error *err)
{
        char program[RUNDIR_PATH], count[16], copy[] = "--copy", absolute[] = "--absolute", end[] = "--";
        char *argv[8] = {program};
        int n = 1;

        libexec_program(program, sizeof program, "stint-export", "agent");
        snprintf(count, sizeof count, "%u", ranks);
        if (o->copy)
                argv[n++] = copy;
        if (o->absolute)
                argv[n++] = absolute;
        argv[n++] = end;
        argv[n++] = dir;
        argv[n++] = count;
        argv[n++] = out;
        execv(program, argv);
        return error_set(err, errno, "cannot execute %s: %s; install stint whole, or set STINT_LIBEXEC_DIR", program,
                         strerror(errno));
}

int cmd_export(int argc, char **argv)
{
        struct export_options o = {0};
        struct stint_error err = {0};
        char run[RUNDIR_PATH], dir[RUNDIR_PATH + 2 * RUNDIR_NAME], **words, **rest, *out;
        uint32_t ranks = 0;
        int n = 0, rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        while (words[n])
                n++;
        if (n == 0 || n > WORDS_MOST) {
                error_set(&err, EINVAL, "%s: stint export [RUN] [STEP] OUT.h5",
                          n ? "too many words" : "the file to be made is not named");
                return cmd_fail("export", &err);
        }
        out = words[n - 1];
        words[n - 1] = NULL;
        if (!pick_from_words(run, words, WORDS_MOST - 1, &rest, &err) &&
            !find(run, *rest, dir, sizeof dir, &ranks, &err))
                become(&o, dir, ranks, out, &err);
        cmd_fail("export", &err);
        return err.code == EBADMSG ? EXIT_DAMAGED : EXIT_OWN;
}
