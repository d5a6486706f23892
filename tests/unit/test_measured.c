/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_measured: what saves have cost: percentiles of the last hundred, through the file and back; and the past's failures. */
#include <check.h>
#include <string.h>
#include "clock.h"
#include "durable.h"
#include "example_part.h"
#include "run_measured.h"
#include "run_verdict.h"
#include "rundir.h"
#include "suite.h"

#define S CLOCK_SECOND

static void learn(struct measured *m, int64_t write_ns, int64_t drag_ns)
{
        struct save s = { .delay_ns = 3 * S, .copy_ns = S, .hash_ns = 0, .write_ns = write_ns, .drag_ns = drag_ns };

        measured_learn(m, &s, 2 * S, S / 2);
}

START_TEST(one_save_is_taken_as_it_is)
{
        struct measured m = { 0 };
        struct deadline_measured costs = measured_costs(&m);

        ck_assert_uint_eq(costs.saves, 0);
        learn(&m, 20 * S, 4 * S);
        costs = measured_costs(&m);
        ck_assert_uint_eq(costs.saves, 1);
        ck_assert_int_eq(costs.delay_ns, S); /* beyond the step of 2 s */
        ck_assert_int_eq(costs.snapshot_ns, S);
        ck_assert_int_eq(costs.write_ns, 20 * S);
        ck_assert_int_eq(costs.commit_ns, S / 2);
        ck_assert_int_eq(costs.cost_ns, 5 * S);
}
END_TEST

START_TEST(the_worst_of_a_few_counts_and_is_not_forgotten)
{
        struct measured m = { 0 };
        int i;

        learn(&m, 60 * S, -1);
        for (i = 1; i < MEASURED_LAST - 1; i++)
                learn(&m, 20 * S, -1);
        ck_assert_int_eq(measured_costs(&m).write_ns, 60 * S);
        learn(&m, 20 * S, -1); /* of a hundred, the worst is the one in a hundred that may be worse */
        ck_assert_int_eq(measured_costs(&m).write_ns, 20 * S);
        learn(&m, 70 * S, -1);
        learn(&m, 70 * S, -1);
        ck_assert_int_eq(measured_costs(&m).write_ns, 70 * S);
}
END_TEST

START_TEST(what_is_a_hundred_saves_ago_is_forgotten)
{
        struct measured m = { 0 };
        int i;

        for (i = 0; i < 10; i++)
                learn(&m, 500 * S, 100 * S);
        for (i = 0; i < MEASURED_LAST; i++)
                learn(&m, 20 * S, 2 * S);
        ck_assert_int_eq(measured_costs(&m).write_ns, 20 * S);
        ck_assert_int_eq(measured_costs(&m).cost_ns, 3 * S);
        ck_assert_uint_eq(measured_costs(&m).saves, MEASURED_LAST + 10);
}
END_TEST

START_TEST(a_final_save_says_nothing_of_what_an_interval_save_costs)
{
        struct measured m = { 0 };

        learn(&m, 20 * S, -1);
        ck_assert_int_eq(measured_costs(&m).cost_ns, S + 20 * S + S / 2); /* all of it, while no other was seen */
        learn(&m, 20 * S, 0);
        learn(&m, 90 * S, -1);
        ck_assert_int_eq(measured_costs(&m).cost_ns, S);
}
END_TEST

START_TEST(it_goes_through_its_file_and_goes_on_where_it_was)
{
        const char *dir = part_folder();
        struct measured m = { 0 }, back;
        struct stint_error err;
        int i, more;

        for (i = 0; i < MEASURED_LAST + 37; i++)
                learn(&m, i * S, i % 3 ? -1 : i * S);
        ck_assert_int_eq(measured_write(&m, dir, &err), 0);
        measured_read(&back, dir);
        for (more = 0; more < MEASURED_LAST; more++) {
                struct deadline_measured a = measured_costs(&m), b = measured_costs(&back);

                ck_assert_mem_eq(&a, &b, sizeof a);
                learn(&m, more * S / 2, more * S);
                learn(&back, more * S / 2, more * S);
        }
        durable_remove_tree(dir, NULL);
}
END_TEST

START_TEST(a_file_that_is_none_of_ours_is_nothing_measured)
{
        static const char *const texts[] = {
                "", "{", "[]", "{\"saves\": 3}",
                "{\"saves\": 3, \"delay_ns\": 1, \"snapshot_ns\": 1, \"write_ns\": 1, \"commit_ns\": 1}",
                "{\"saves\": 0, \"delay_ns\": [1], \"snapshot_ns\": [1], \"write_ns\": [1], \"commit_ns\": [1], \"cost_ns\": []}",
                "{\"saves\": 1, \"delay_ns\": [1], \"snapshot_ns\": [1], \"write_ns\": [-1], \"commit_ns\": [1], \"cost_ns\": []}",
                "{\"saves\": 1, \"delay_ns\": [1], \"snapshot_ns\": [1], \"write_ns\": [], \"commit_ns\": [1], \"cost_ns\": []}",
                "{\"saves\": 1, \"delay_ns\": [1], \"snapshot_ns\": [1], \"write_ns\": [9000000000000000000], \"commit_ns\": [1], \"cost_ns\": []}",
        };
        const char *dir = part_folder();
        struct measured m;
        size_t i;

        for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
                part_write(dir, RUNDIR_MEASURED, texts[i], strlen(texts[i]));
                measured_read(&m, dir);
                ck_assert_uint_eq(measured_costs(&m).saves, 0);
        }
        durable_remove_tree(dir, NULL);
}
END_TEST

/* ---- failures -------------------------------------------------------------------------------------------------- */

static json_t *line(const char *t, int stint, const char *event, const char *why, int by)
{
        json_t *out = json_pack("{s:s, s:i, s:s, s:s}", "t", t, "stint", stint, "event", event, "why", why);

        if (by)
                json_object_set_new(out, "by", json_integer(by));
        return out;
}

START_TEST(a_day_without_a_failure_is_assumed_and_what_was_seen_counts_beside_it)
{
        json_t *lines = json_array();
        struct past p;

        past_read(&p, lines);
        ck_assert_int_eq(past_mtbf(&p), 24 * 3600 * S);
        json_array_append_new(lines, line("2026-01-01T00:00:00.000Z", 1, "start", "", 0));
        json_array_append_new(lines, line("2026-01-02T00:00:00.000Z", 1, "save", "", 0));
        json_array_append_new(lines, line("2026-01-05T00:00:00.000Z", 2, "start", "", 0));
        json_array_append_new(lines, line("2026-01-05T00:00:01.000Z", 1, "end", "killed", 2));
        json_array_append_new(lines, line("2026-01-06T00:00:00.000Z", 2, "end", "time limit", 0));
        past_read(&p, lines);
        ck_assert_uint_eq(p.failures, 1);
        ck_assert_int_eq(p.trained_ns, 2 * 24 * 3600 * S); /* the days between the two are nobody's */
        ck_assert_int_eq(past_mtbf(&p), 36 * 3600 * S);
        json_array_append_new(lines, line("2026-01-06T00:00:00.000Z", 3, "start", "", 0));
        json_array_append_new(lines, line("2026-01-06T00:00:00.000Z", 3, "end", "crashed", 0));
        past_read(&p, lines);
        ck_assert_int_eq(past_mtbf(&p), 24 * 3600 * S);
        json_decref(lines);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_test(all, one_save_is_taken_as_it_is);
        tcase_add_test(all, the_worst_of_a_few_counts_and_is_not_forgotten);
        tcase_add_test(all, what_is_a_hundred_saves_ago_is_forgotten);
        tcase_add_test(all, a_final_save_says_nothing_of_what_an_interval_save_costs);
        tcase_add_test(all, it_goes_through_its_file_and_goes_on_where_it_was);
        tcase_add_test(all, a_file_that_is_none_of_ours_is_nothing_measured);
        tcase_add_test(all, a_day_without_a_failure_is_assumed_and_what_was_seen_counts_beside_it);
}

SUITE_MAIN("measured", add_tests)
