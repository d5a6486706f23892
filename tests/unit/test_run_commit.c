/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_run_commit: a sealed part becomes whole, an unsealed one never, and nothing older goes before the new one stands. */
#include <errno.h>
#include "durable.h"
#include "example_part.h"
#include "fault.h"
#include "run_commit.h"
#include "run_prune.h"
#include "run_settle.h"
#include "suite.h"

static char run[256];
static struct lease lease;
static struct commit commit;

static void open_run(void)
{
        struct lease_holder me = { .stint = 3 };

        unsetenv("STINT_FAULT");
        fault_reset();
        snprintf(run, sizeof run, "%s", part_folder());
        lease_self(&me);
        ck_assert_int_eq(lease_take(&lease, run, &me, 0, NULL, NULL), 0);
        commit = (struct commit){ .run_dir = run, .run_id = PART_RUN_ID, .lease = &lease, .events = json_array(), .stint = 3,
                                  .keep = 2 };
}

static void close_run(void)
{
        json_decref(commit.events);
        lease_release(&lease);
        durable_remove_tree(run, NULL);
}

static void make(int64_t step, uint32_t stint, uint32_t ranks, uint32_t sealed, double loss)
{
        struct example_part p = { .step = step, .stint = stint, .ranks = ranks, .loss = loss };
        char dir[1200];

        part_make(dir, sizeof dir, run, &p, sealed);
}

static int there(const char *name)
{
        char path[1200];
        struct stat st;

        snprintf(path, sizeof path, "%s/checkpoints/%s", run, name);
        return lstat(path, &st) == 0;
}

static size_t events(const char *event)
{
        size_t i, n = 0;
        json_t *line;

        json_array_foreach(commit.events, i, line)
                n += strcmp(json_string_value(json_object_get(line, "event")), event) == 0;
        return n;
}

static void land(int64_t step, double loss)
{
        struct manifest m;

        make(step, 3, 1, 1, loss);
        ck_assert_int_eq(commit_part(&commit, step, 1, &m, NULL), 0);
        manifest_fini(&m);
}

START_TEST(a_part_sealed_by_all_becomes_whole)
{
        struct manifest m;
        struct catalog c;

        make(100, 3, 2, 2, 1);
        ck_assert_int_eq(commit_part(&commit, 100, 2, &m, NULL), 0);
        ck_assert_int_eq(m.step, 100);
        manifest_fini(&m);
        ck_assert(!there("step-000000000100.s3.part"));
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_uint_eq(c.whole, 1);
        catalog_fini(&c);
        ck_assert_int_eq(commit_find(&commit, 100, &m, NULL), 0);
        manifest_fini(&m);
}
END_TEST

START_TEST(a_part_that_misses_a_seal_stays_a_part)
{
        struct manifest m;

        make(100, 3, 2, 1, 1);
        ck_assert_int_eq(commit_part(&commit, 100, 2, &m, NULL), -1);
        ck_assert(there("step-000000000100.s3.part"));
        ck_assert(!there("step-000000000100"));
}
END_TEST

START_TEST(without_the_lease_nothing_is_changed)
{
        struct lease_holder other = { .stint = 4 };
        struct lease second;
        struct stint_error err;
        struct manifest m;

        make(100, 3, 1, 1, 1);
        lease_self(&other);
        ck_assert_int_eq(lease_take(&second, run, &other, 1, NULL, NULL), 0);
        ck_assert_int_eq(commit_part(&commit, 100, 1, &m, &err), -1);
        ck_assert_int_eq(err.code, ESTALE);
        ck_assert_int_eq(settle_own(&commit, &err), -1);
        ck_assert(there("step-000000000100.s3.part"));
        ck_assert(!there("step-000000000100"));
        lease_release(&second);
}
END_TEST

START_TEST(a_step_saved_again_replaces_the_old_one)
{
        struct manifest m;

        land(100, 5);
        land(100, 4);
        ck_assert_int_eq(commit_find(&commit, 100, &m, NULL), 0);
        ck_assert_double_eq(m.metrics[0].value, 4);
        manifest_fini(&m);
        ck_assert(there("retired-step-000000000100"));
        ck_assert_int_eq(prune_old(&commit, NULL), 0);
        ck_assert(!there("retired-step-000000000100"));
        ck_assert(there("step-000000000100"));
}
END_TEST

START_TEST(pruning_keeps_the_newest_and_the_best)
{
        struct seal_metric metric;
        int64_t best;

        land(100, 1), land(200, 5), land(300, 4), land(400, 3);
        ck_assert_int_eq(commit_best(&commit, &best, &metric, NULL), 0);
        ck_assert_int_eq(best, 100);
        ck_assert_double_eq(metric.value, 1);
        ck_assert_int_eq(prune_old(&commit, NULL), 0);
        ck_assert(there("step-000000000100"));
        ck_assert(!there("step-000000000200"));
        ck_assert(there("step-000000000300"));
        ck_assert(there("step-000000000400"));
        ck_assert_uint_eq(events("pruned"), 1);
        ck_assert(there("../best/" RUNDIR_MANIFEST));
}
END_TEST

static ino_t inode_of(const char *name)
{
        char path[1200];
        struct stat st;

        snprintf(path, sizeof path, "%s/checkpoints/%s", run, name);
        return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void prune(void)
{
        struct stint_error err = { 0 };

        ck_assert_msg(prune_old(&commit, &err) == 0, "%s", err.text);
}

START_TEST(the_newest_one_retired_becomes_the_slot)
{
        ino_t second, third;

        commit.slots = 1;
        land(100, 4), land(200, 5), land(300, 3), land(400, 1);
        second = inode_of("step-000000000200/rank-00000-of-00001.h5");
        third = inode_of("step-000000000300/rank-00000-of-00001.h5");
        prune();
        ck_assert(!there("step-000000000200") && !there("retired-step-000000000200") && !there("step-000000000100"));
        ck_assert(inode_of("slots/rank-00000-of-00001.h5") == second);
        ck_assert(!there("slots/rank-00000-of-00001.seal") && !there("slots/" RUNDIR_MANIFEST));
        ck_assert_uint_eq(events("pruned"), 2);
        land(500, 0.5);
        prune();
        ck_assert(inode_of("slots/rank-00000-of-00001.h5") == third); /* in the place of one that nobody took */
        ck_assert(!there("retired-step-000000000300"));
}
END_TEST

START_TEST(the_best_one_is_no_slot)
{
        commit.slots = 1;
        land(100, 1), land(200, 5), land(300, 4);
        prune();
        ck_assert(there("step-000000000100/rank-00000-of-00001.h5"));
        ck_assert(!there("slots"));
}
END_TEST

START_TEST(a_slot_is_in_no_list_and_changes_no_other_answer)
{
        struct catalog c;

        commit.slots = 1;
        land(100, 4), land(200, 3), land(300, 2);
        prune();
        ck_assert(there("slots/rank-00000-of-00001.h5"));
        ck_assert_int_eq(catalog_read(&c, run, NULL), 0);
        ck_assert_uint_eq(c.n, 2);
        ck_assert_uint_eq(c.whole, 2);
        catalog_fini(&c);
}
END_TEST

START_TEST(what_a_crash_left_half_way_becomes_the_slot_as_well)
{
        commit.slots = 1;
        land(100, 4), land(200, 3), land(300, 2);
        setenv("STINT_FAULT", "slot.before_keep:fail=EIO,prune.before_remove:fail=EIO", 1);
        fault_reset();
        ck_assert_int_eq(prune_old(&commit, NULL), -1);
        ck_assert(there("retired-step-000000000100/rank-00000-of-00001.h5"));
        ck_assert(!there("retired-step-000000000100/" RUNDIR_MANIFEST)); /* gone before its files could be anything else */
        unsetenv("STINT_FAULT");
        fault_reset();
        prune();
        ck_assert(there("slots/rank-00000-of-00001.h5"));
        ck_assert(!there("retired-step-000000000100"));
}
END_TEST

START_TEST(slots_of_another_number_of_ranks_go)
{
        struct manifest m;

        commit.slots = 1;
        land(100, 4), land(200, 3), land(300, 2);
        prune();
        ck_assert(there("slots/rank-00000-of-00001.h5"));
        make(400, 3, 2, 2, 1.5);
        ck_assert_int_eq(commit_part(&commit, 400, 2, &m, NULL), 0);
        manifest_fini(&m);
        make(500, 3, 2, 2, 1.4);
        ck_assert_int_eq(commit_part(&commit, 500, 2, &m, NULL), 0);
        manifest_fini(&m);
        make(600, 3, 2, 2, 1.3);
        ck_assert_int_eq(commit_part(&commit, 600, 2, &m, NULL), 0);
        manifest_fini(&m);
        prune();
        ck_assert(!there("slots/rank-00000-of-00001.h5"));
        ck_assert(there("slots/rank-00000-of-00002.h5") && there("slots/rank-00001-of-00002.h5"));
}
END_TEST

START_TEST(without_slots_none_is_kept_and_none_is_left)
{
        commit.slots = 1;
        land(100, 4), land(200, 3), land(300, 2);
        prune();
        ck_assert(there("slots/rank-00000-of-00001.h5"));
        commit.slots = 0;
        prune();
        ck_assert(!there("slots"));
        land(400, 1);
        prune();
        ck_assert(!there("slots") && !there("retired-step-000000000200"));
}
END_TEST

START_TEST(a_link_in_the_place_of_the_slots_leads_nowhere)
{
        char path[1200], elsewhere[1200];

        commit.slots = 1;
        land(100, 4), land(200, 3), land(300, 2);
        snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", run);
        ck_assert_int_eq(mkdir(elsewhere, 0755), 0);
        snprintf(path, sizeof path, "%s/checkpoints/slots", run);
        ck_assert_int_eq(symlink(elsewhere, path), 0);
        prune();
        ck_assert(!there("retired-step-000000000100") && !there("../elsewhere/rank-00000-of-00001.h5"));
}
END_TEST

START_TEST(damaged_ones_do_not_push_out_the_last_good_one)
{
        char dir[1200];

        land(100, 9), land(200, 5), land(300, 4), land(400, 3);
        snprintf(dir, sizeof dir, "%s/checkpoints/step-000000000400", run);
        part_flip(dir, "rank-00000-of-00001.seal", 9);
        snprintf(dir, sizeof dir, "%s/checkpoints/step-000000000300", run);
        part_flip(dir, "rank-00000-of-00001.seal", 9);
        commit.keep = 1;
        ck_assert_int_eq(prune_old(&commit, NULL), 0);
        ck_assert(there("step-000000000200"));
        ck_assert(!there("step-000000000100"));
}
END_TEST

START_TEST(a_sealed_leftover_is_finished_and_an_unsealed_one_set_aside)
{
        char dir[1200];

        make(100, 1, 2, 2, 1);
        make(200, 2, 2, 1, 1);
        make(300, 2, 1, 1, 1);
        snprintf(dir, sizeof dir, "%s/checkpoints/step-000000000300.s2.part", run);
        part_flip(dir, "rank-00000-of-00001.h5", 2000); /* sealed, but its bytes are not there */
        make(400, 3, 1, 1, 1);                          /* of this stint: not touched */
        ck_assert_int_eq(settle_earlier(&commit, NULL), 0);
        ck_assert(there("step-000000000100"));
        ck_assert(there("abandoned-step-000000000200.s2"));
        ck_assert(there("abandoned-step-000000000300.s2"));
        ck_assert(there("step-000000000400.s3.part"));
        ck_assert_uint_eq(events("finished_part"), 1);
        ck_assert_uint_eq(events("abandoned_part"), 2);
}
END_TEST

START_TEST(a_finished_leftover_has_the_manifest_its_own_stint_would_have_written)
{
        char *one, *two, path[1200];
        size_t n, n2;

        land(100, 2);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000100/" RUNDIR_MANIFEST, run);
        ck_assert_int_eq(durable_read(path, 1 << 20, &one, &n, NULL), 0);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000100", run);
        ck_assert_int_eq(durable_remove_tree(path, NULL), 0);
        make(100, 3, 1, 1, 2);
        ck_assert_int_eq(settle_own(&commit, NULL), 0);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000100/" RUNDIR_MANIFEST, run);
        ck_assert_int_eq(durable_read(path, 1 << 20, &two, &n2, NULL), 0);
        ck_assert_uint_eq(n, n2);
        ck_assert_mem_eq(one, two, n);
        free(one);
        free(two);
}
END_TEST

START_TEST(what_a_failed_save_of_this_stint_left_is_removed)
{
        make(100, 3, 2, 1, 1);
        ck_assert_int_eq(settle_own(&commit, NULL), 0);
        ck_assert(!there("step-000000000100.s3.part"));
        ck_assert(!there("step-000000000100"));
}
END_TEST

/* It had its last seal when it was given up for a final save, which has landed since. */
START_TEST(a_whole_part_that_a_later_step_has_overtaken_is_removed)
{
        land(200, 0.5);
        make(100, 3, 1, 1, 1);
        make(300, 3, 1, 1, 1);
        ck_assert_int_eq(settle_own(&commit, NULL), 0);
        ck_assert(!there("step-000000000100.s3.part"));
        ck_assert(!there("step-000000000100"));
        ck_assert(there("step-000000000300"));
        ck_assert_uint_eq(events("finished_part"), 1);
}
END_TEST

START_TEST(a_fault_anywhere_leaves_a_part_that_can_be_finished)
{
        static const char *const points[] = { "commit.before_manifest", "commit.after_manifest", "commit.before_rename" };
        char fault[80];
        struct manifest m;
        struct stint_error err;
        size_t i;

        for (i = 0; i < 3; i++) {
                int64_t step = 100 * (int64_t)(i + 1);
                char name[RUNDIR_NAME];

                make(step, 3, 1, 1, 1);
                snprintf(fault, sizeof fault, "%s:fail=ENOSPC", points[i]);
                setenv("STINT_FAULT", fault, 1);
                fault_reset();
                ck_assert_int_eq(commit_part(&commit, step, 1, &m, &err), -1);
                ck_assert_int_eq(err.code, ENOSPC);
                ck_assert(!there(rundir_whole(name, step)));
                unsetenv("STINT_FAULT");
                fault_reset();
                ck_assert_int_eq(settle_own(&commit, NULL), 0);
                ck_assert(there(rundir_whole(name, step)));
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "run_commit");

        tcase_add_checked_fixture(all, open_run, close_run);
        tcase_add_test(all, a_part_sealed_by_all_becomes_whole);
        tcase_add_test(all, a_part_that_misses_a_seal_stays_a_part);
        tcase_add_test(all, without_the_lease_nothing_is_changed);
        tcase_add_test(all, a_step_saved_again_replaces_the_old_one);
        tcase_add_test(all, pruning_keeps_the_newest_and_the_best);
        tcase_add_test(all, the_newest_one_retired_becomes_the_slot);
        tcase_add_test(all, the_best_one_is_no_slot);
        tcase_add_test(all, a_slot_is_in_no_list_and_changes_no_other_answer);
        tcase_add_test(all, what_a_crash_left_half_way_becomes_the_slot_as_well);
        tcase_add_test(all, slots_of_another_number_of_ranks_go);
        tcase_add_test(all, without_slots_none_is_kept_and_none_is_left);
        tcase_add_test(all, a_link_in_the_place_of_the_slots_leads_nowhere);
        tcase_add_test(all, damaged_ones_do_not_push_out_the_last_good_one);
        tcase_add_test(all, a_sealed_leftover_is_finished_and_an_unsealed_one_set_aside);
        tcase_add_test(all, a_finished_leftover_has_the_manifest_its_own_stint_would_have_written);
        tcase_add_test(all, what_a_failed_save_of_this_stint_left_is_removed);
        tcase_add_test(all, a_whole_part_that_a_later_step_has_overtaken_is_removed);
        tcase_add_test(all, a_fault_anywhere_leaves_a_part_that_can_be_finished);
}

SUITE_MAIN("run_commit", add_tests)
