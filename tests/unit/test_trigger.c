/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_trigger: when stintd orders a save, and when it reminds of the controller; without a clock. */
#include <check.h>
#include "ask.h"
#include "suite.h"
#include "trigger.h"

#define S CLOCK_SECOND

/* A stint of 1000 s that began at 100 s; its final save is due at 1060 s, and it makes no others. */
static struct deadline_inputs example(int64_t now_ns)
{
        return (struct deadline_inputs){
                .now_ns = now_ns,
                .start_ns = 100 * S,
                .end_ns = 1100 * S,
                .cause = DEADLINE_LIMIT,
                .steps = 190,
                .agree_every = 1,
                .measured = { .write_ns = 36 * S, .saves = 3 },
                .margin_ns = 4 * S,
                .last_save_ns = 290 * S,
                .interval_ns = CLOCK_NEVER,
                .mtbf_ns = 86400 * S,
        };
}

START_TEST(before_the_lead_it_waits_for_the_lead)
{
        struct trigger t = { 0 };
        struct deadline_inputs in = example(500 * S);
        struct trigger_order o = trigger_decide(&t, &in, 1);

        ck_assert_int_eq(o.reason, SAVE_NONE);
        ck_assert_int_eq(o.next_ns, 1060 * S);
        ck_assert_int_eq(o.lead_ns, 40 * S);
}
END_TEST

START_TEST(at_the_lead_it_orders_and_again_when_nothing_came_of_it)
{
        struct trigger t = { 0 };
        struct deadline_inputs in = example(1060 * S);
        struct trigger_order o = trigger_decide(&t, &in, 1);

        ck_assert_int_eq(o.reason, SAVE_LIMIT);
        trigger_sent(&t, SAVE_LIMIT, in.now_ns);
        o = trigger_decide(&t, &in, 1);
        ck_assert_int_eq(o.reason, SAVE_NONE);
        ck_assert_int_eq(o.next_ns, 1060 * S + TRIGGER_AGAIN_NS);
        in.now_ns = o.next_ns;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_LIMIT);
        in.final_asked = 1;
        o = trigger_decide(&t, &in, 1);
        ck_assert_int_eq(o.reason, SAVE_NONE);
        ck_assert_int_eq(o.next_ns, CLOCK_NEVER);
}
END_TEST

START_TEST(a_preemption_is_ordered_at_once)
{
        struct trigger t = { 0 };
        struct deadline_inputs in = example(200 * S);

        in.cause = DEADLINE_PREEMPTED;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_PREEMPTED);
}
END_TEST

START_TEST(a_final_save_is_ordered_while_another_is_in_flight)
{
        struct trigger t = { .saving = 1 };
        struct deadline_inputs in = example(1060 * S);

        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_LIMIT);
        in = example(900 * S);
        in.interval_ns = 10 * S;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_NONE);
        t.saving = 0;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_INTERVAL);
}
END_TEST

START_TEST(where_nothing_trains_time_orders_nothing)
{
        struct trigger t = { 0 };
        struct deadline_inputs in = example(1060 * S);

        ck_assert_int_eq(trigger_decide(&t, &in, 0).reason, SAVE_NONE);
}
END_TEST

START_TEST(a_save_that_was_asked_for_is_ordered_once)
{
        struct trigger t = { .save = 1 };
        struct deadline_inputs in = example(500 * S);

        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_USER);
        trigger_sent(&t, SAVE_USER, in.now_ns);
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_NONE);
}
END_TEST

START_TEST(a_drain_is_ordered_until_a_final_save_is_under_way)
{
        struct trigger t = { .drain = 1 };
        struct deadline_inputs in = example(500 * S);
        struct trigger_order o = trigger_decide(&t, &in, 0);

        ck_assert_int_eq(o.reason, SAVE_DRAIN);
        trigger_sent(&t, SAVE_DRAIN, in.now_ns);
        o = trigger_decide(&t, &in, 1);
        ck_assert_int_eq(o.reason, SAVE_NONE);
        ck_assert_int_eq(o.next_ns, 500 * S + TRIGGER_DRAIN_AGAIN_NS);
        in.now_ns = o.next_ns;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_DRAIN);
        t.saving = t.saving_final = 1;
        in.final_asked = 1;
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_NONE);
        t.saving = t.saving_final = 0; /* it failed */
        ck_assert_int_eq(trigger_decide(&t, &in, 1).reason, SAVE_DRAIN);
}
END_TEST

/* ---- reminders --------------------------------------------------------------------------------------------------- */

static struct ask_inputs asking(void)
{
        return (struct ask_inputs){ .begun_ns = 1000 * S, .end_ns = 9000 * S, .every_ns = 300 * S };
}

START_TEST(half_of_the_time_passes_before_a_reminder)
{
        struct ask_inputs in = asking();

        ck_assert_int_eq(ask_next(&in), (1000 + 4000 + 75) * S);
        in.told_ns = 5000 * S; /* `stint run` asked by itself */
        ck_assert_int_eq(ask_next(&in), (5000 + 2000 + 75) * S);
        in.asked_ns = 7100 * S;
        ck_assert_int_eq(ask_next(&in), (7100 + 950 + 75) * S);
}
END_TEST

START_TEST(reminders_are_never_closer_than_the_setting)
{
        struct ask_inputs in = asking();

        in.told_ns = 8600 * S;
        ck_assert_int_eq(ask_next(&in), (8600 + 300 + 75) * S);
        in.told_ns = 8700 * S; /* there would be none before the deadline */
        ck_assert_int_eq(ask_next(&in), CLOCK_NEVER);
        in.end_ns = CLOCK_NEVER;
        ck_assert_int_eq(ask_next(&in), (8700 + 375) * S);
}
END_TEST

START_TEST(jobs_that_began_together_are_not_reminded_together)
{
        struct ask_inputs in = asking();
        int64_t first = ask_next(&in);

        in.spread = 512;
        ck_assert_int_gt(ask_next(&in), first);
        ck_assert_int_lt(ask_next(&in), first + 75 * S);
        in.spread = UINT32_MAX;
        ck_assert_int_lt(ask_next(&in), first + 75 * S);
}
END_TEST

/* What a whole stint costs the controller by reminders alone, when `stint run` never asks. */
START_TEST(reminders_stay_within_the_budget_of_a_stint)
{
        static const int64_t spans_s[] = { 60, 600, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600 };
        unsigned i;

        for (i = 0; i < sizeof spans_s / sizeof spans_s[0]; i++) {
                struct ask_inputs in = { .begun_ns = S, .end_ns = (1 + spans_s[i]) * S, .every_ns = 300 * S };
                int64_t at, reminders = 0;

                while ((at = ask_next(&in)) != CLOCK_NEVER) {
                        in.asked_ns = at;
                        reminders++;
                }
                ck_assert_int_le(reminders, 1 + spans_s[i] / 300);
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "trigger");

        tcase_add_test(all, before_the_lead_it_waits_for_the_lead);
        tcase_add_test(all, at_the_lead_it_orders_and_again_when_nothing_came_of_it);
        tcase_add_test(all, a_preemption_is_ordered_at_once);
        tcase_add_test(all, a_final_save_is_ordered_while_another_is_in_flight);
        tcase_add_test(all, where_nothing_trains_time_orders_nothing);
        tcase_add_test(all, a_save_that_was_asked_for_is_ordered_once);
        tcase_add_test(all, a_drain_is_ordered_until_a_final_save_is_under_way);
        tcase_add_test(all, half_of_the_time_passes_before_a_reminder);
        tcase_add_test(all, reminders_are_never_closer_than_the_setting);
        tcase_add_test(all, jobs_that_began_together_are_not_reminded_together);
        tcase_add_test(all, reminders_stay_within_the_budget_of_a_stint);
}

SUITE_MAIN("trigger", add_tests)
