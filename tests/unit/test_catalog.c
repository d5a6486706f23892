/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_catalog: what lies in checkpoints/ is told in the right order, and what is not whole is never taken for it. */
#include <errno.h>
#include <math.h>
#include "catalog.h"
#include "durable.h"
#include "example_part.h"
#include "run_behind.h"
#include "run_candidates.h"
#include "suite.h"

/* A whole checkpoint; ranks from p. */
static void whole(const char *run, const struct example_part *p)
{
        char part[1200], to[1200], name[RUNDIR_NAME];
        struct seal seals[8];
        struct manifest m;
        char *text;
        size_t n;
        uint32_t i;

        part_make(part, sizeof part, run, p, p->ranks);
        for (i = 0; i < p->ranks; i++) {
                char path[1400];

                snprintf(path, sizeof path, "%s/%s", part, rundir_rank_seal(name, i, p->ranks));
                ck_assert_int_eq(seal_read(&seals[i], path, NULL), 0);
        }
        ck_assert_int_eq(manifest_from_seals(&m, seals, p->ranks, NULL), 0);
        ck_assert_int_eq(manifest_encode(&m, &text, &n, NULL), 0);
        part_write(part, RUNDIR_MANIFEST, text, n);
        snprintf(to, sizeof to, "%s/checkpoints/%s", run, rundir_whole(name, p->step));
        ck_assert_int_eq(rename(part, to), 0);
        manifest_fini(&m);
        free(text);
}

static void whole_with(const char *run, int64_t step, uint32_t lineage, double loss)
{
        struct example_part p = { .step = step, .stint = 1, .lineage = lineage, .ranks = 1, .loss = loss };

        whole(run, &p);
}

START_TEST(no_folder_is_an_empty_catalog)
{
        struct catalog c;

        ck_assert_int_eq(catalog_read(&c, "/nonexistent/run", NULL), 0);
        ck_assert_uint_eq(c.n, 0);
        ck_assert_ptr_null(catalog_best(&c));
        catalog_fini(&c);
}
END_TEST

START_TEST(whole_ones_come_first_and_the_newest_of_them_before_all)
{
        const char *run = part_folder();
        struct example_part part = { .step = 400, .stint = 2, .ranks = 1 };
        char dir[1200];
        struct catalog c;

        whole_with(run, 300, 0, 3);
        whole_with(run, 100, 0, 1);
        whole_with(run, 200, 1, 2); /* the run was set back, and has gone on from there */
        part_make(dir, sizeof dir, run, &part, 1);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_uint_eq(c.n, 4);
        ck_assert_uint_eq(c.whole, 3);
        ck_assert_int_eq(c.entries[0].step, 200);
        ck_assert_int_eq(c.entries[1].step, 300);
        ck_assert_int_eq(c.entries[2].step, 100);
        ck_assert_int_eq(c.entries[3].kind, RUNDIR_PART);
        ck_assert_uint_eq(c.entries[3].stint, 2);
        ck_assert_ptr_eq(catalog_step(&c, 300), &c.entries[1]);
        ck_assert_ptr_null(catalog_step(&c, 400));
        catalog_fini(&c);
        durable_remove_tree(run, NULL);
}
END_TEST

START_TEST(without_its_own_manifest_nothing_is_whole)
{
        const char *run = part_folder();
        char path[1200], other[1200];
        struct catalog c;
        size_t i;

        whole_with(run, 100, 0, 1);
        whole_with(run, 200, 0, 1);
        whole_with(run, 300, 0, 1);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000100", run);
        part_flip(path, RUNDIR_MANIFEST, 30);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000200/" RUNDIR_MANIFEST, run);
        ck_assert_int_eq(unlink(path), 0);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000300", run);
        snprintf(other, sizeof other, "%s/checkpoints/step-000000000301", run);
        ck_assert_int_eq(rename(path, other), 0);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_uint_eq(c.n, 3);
        ck_assert_uint_eq(c.whole, 0);
        for (i = 0; i < c.n; i++) {
                ck_assert_int_eq(c.entries[i].problem.code, c.entries[i].step == 200 ? ENOENT : EBADMSG);
                ck_assert_ptr_null(c.entries[i].manifest.rank);
        }
        catalog_fini(&c);
        durable_remove_tree(run, NULL);
}
END_TEST

START_TEST(best_is_the_lowest_loss_and_of_equals_the_older)
{
        const char *run = part_folder();
        struct catalog c;

        whole_with(run, 100, 0, 2.5);
        whole_with(run, 200, 0, 1.5);
        whole_with(run, 300, 0, 1.5);
        whole_with(run, 400, 0, (double)NAN);
        whole_with(run, 500, 0, -(double)INFINITY);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_uint_eq(c.whole, 5);
        ck_assert_int_eq(catalog_best(&c)->step, 200);
        catalog_fini(&c);
        durable_remove_tree(run, NULL);
}
END_TEST

START_TEST(a_restore_takes_the_newest_of_this_run)
{
        const char *run = part_folder();
        struct example_part p = { .step = 100, .stint = 1, .ranks = 2 };
        struct catalog c;
        char text[400];
        size_t at = 0;

        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(candidates_choose(&c, &at, PART_RUN_ID, 0, text, sizeof text), CHOICE_FRESH);
        ck_assert_int_eq(candidates_choose(&c, &at, PART_RUN_ID, 1, text, sizeof text), CHOICE_FAILED);
        whole(run, &p);
        p.step = 200;
        whole(run, &p);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(candidates_choose(&c, &at, PART_RUN_ID, 1, text, sizeof text), CHOICE_READ);
        ck_assert_uint_eq(at, 0);
        ck_assert_int_eq(c.entries[at].step, 200);
        at = 1;
        ck_assert_int_eq(candidates_choose(&c, &at, PART_RUN_ID, 1, text, sizeof text), CHOICE_READ);
        ck_assert_int_eq(c.entries[at].step, 100);
        at = 2;
        ck_assert_int_eq(candidates_choose(&c, &at, PART_RUN_ID, 0, text, sizeof text), CHOICE_FAILED);
        at = 0;
        ck_assert_int_eq(candidates_choose(&c, &at, "ffffffffffffffffffffffffffffffff", 1, text, sizeof text), CHOICE_FAILED);
        catalog_fini(&c);
        durable_remove_tree(run, NULL);
}
END_TEST

START_TEST(a_step_that_landed_is_missed_unless_it_is_there_or_was_set_aside)
{
        const char *run = part_folder();
        char from[1024], to[1024];
        struct catalog c;

        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(behind_is(&c, -1), 0);
        ck_assert_int_eq(behind_is(&c, 100), 1);
        whole_with(run, 100, 0, 1.0);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(behind_is(&c, 100), 0);
        ck_assert_int_eq(behind_is(&c, 200), 1);
        catalog_fini(&c);
        snprintf(from, sizeof from, "%s/checkpoints/step-000000000100", run);
        snprintf(to, sizeof to, "%s/checkpoints/quarantined-step-000000000100", run);
        ck_assert_int_eq(rename(from, to), 0);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(behind_is(&c, 100), 0);
        catalog_fini(&c);
        snprintf(from, sizeof from, "%s/checkpoints/step-000000000100.s1.part", run);
        ck_assert_int_eq(rename(to, from), 0);
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_int_eq(behind_is(&c, 100), 1);
        catalog_fini(&c);
        durable_remove_tree(run, NULL);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "catalog");

        tcase_add_test(all, no_folder_is_an_empty_catalog);
        tcase_add_test(all, whole_ones_come_first_and_the_newest_of_them_before_all);
        tcase_add_test(all, without_its_own_manifest_nothing_is_whole);
        tcase_add_test(all, best_is_the_lowest_loss_and_of_equals_the_older);
        tcase_add_test(all, a_step_that_landed_is_missed_unless_it_is_there_or_was_set_aside);
        tcase_add_test(all, a_restore_takes_the_newest_of_this_run);
}

SUITE_MAIN("catalog", add_tests)
