/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_deadline: when to save, without a clock: by example, and by what must hold of any numbers at all. */
#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "deadline.h"
#include "suite.h"

#define S CLOCK_SECOND

/* A stint of 1000 s that began at 100 s, now at 300 s, steps of 1 s, saves that cost 1 + 2 + 30 + 1 s, margin 4 s. */
static struct deadline_inputs example(void)
{
        return (struct deadline_inputs){
                .now_ns = 300 * S,
                .start_ns = 100 * S,
                .end_ns = 1100 * S,
                .cause = DEADLINE_LIMIT,
                .step_ns = S,
                .steps = 190,
                .agree_every = 1,
                .measured = { .delay_ns = S, .snapshot_ns = 2 * S, .write_ns = 30 * S, .commit_ns = S, .saves = 3 },
                .state_bytes = UINT64_C(3000000000),
                .margin_ns = 4 * S,
                .last_save_ns = 290 * S,
                .interval_ns = CLOCK_NEVER,
                .mtbf_ns = 86400 * S,
        };
}

START_TEST(the_lead_is_the_sum_of_what_was_measured)
{
        struct deadline_inputs in = example();
        struct deadline_plan plan = deadline_plan(&in);

        ck_assert_int_eq(plan.lead_ns, 39 * S);
        ck_assert_int_eq(plan.final_ns, 1061 * S);
        ck_assert_int_eq(plan.next_ns, 1061 * S);
        ck_assert_int_eq(plan.next, SAVE_LIMIT);
}
END_TEST

START_TEST(a_write_that_stintd_can_finish_is_not_in_the_lead)
{
        struct deadline_inputs in = example();

        in.outlive_ns = 60 * S;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (1 + 1 + 2 + 4) * S);
        in.outlive_ns = 60 * S - 1; /* less than twice what it should take */
        ck_assert_int_eq(deadline_plan(&in).lead_ns, 39 * S);
        in.outlive_ns = 60 * S;
        in.flying_since_ns = in.now_ns - 40 * S; /* one that is late says what the next one takes */
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (1 + 1 + 2 + 40 + 1 + 4 + 10) * S);
        in.flying_since_ns = 0;
        in.measured.saves = 0;
        in.calibrate_asked = 1;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (1 + 30 + 2 + 4) * S);
        in = example();
        in.outlive_ns = CLOCK_NEVER;
        in.measured.write_ns = CLOCK_NEVER;
        ck_assert_int_ge(deadline_plan(&in).lead_ns, 0);
}
END_TEST

START_TEST(several_ranks_need_the_steps_until_they_agree_and_one_more)
{
        struct deadline_inputs in = example();

        in.agree_every = 5;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, 39 * S);
        in.several_ranks = 1;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, 44 * S);
        in.agree_every = 0;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, 40 * S);
}
END_TEST

START_TEST(with_nothing_measured_the_size_of_the_state_is_the_guess)
{
        struct deadline_inputs in = example();

        in.measured.saves = 0;
        in.calibrate_asked = 1;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (1 + 30 + 2 + 4) * S);
        in.state_bytes = 50000000;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (1 + 2 + 4) * S + S / 2);
        in.state_bytes = 0;
        in.step_ns = 0;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, (2 + 4) * S);
}
END_TEST

START_TEST(a_guess_takes_at_most_half_of_the_stint)
{
        struct deadline_inputs in = example();

        in.measured.saves = 0;
        in.state_bytes = UINT64_MAX;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, 500 * S);
        ck_assert_int_eq(deadline_plan(&in).final_ns, 600 * S);
}
END_TEST

START_TEST(a_calibrating_save_is_due_once_after_a_few_steps)
{
        struct deadline_inputs in = example();

        in.measured.saves = 0;
        in.steps = DEADLINE_CALIBRATE_STEPS - 1;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        in.steps = DEADLINE_CALIBRATE_STEPS;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_CALIBRATE);
        ck_assert_int_le(deadline_plan(&in).next_ns, in.now_ns);
        in.state_bytes = 0;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        in.state_bytes = 1;
        in.calibrate_asked = 1;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        in.calibrate_asked = 0;
        in.measured.saves = 1;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
}
END_TEST

START_TEST(without_a_deadline_a_calibrating_save_is_due_too)
{
        struct deadline_inputs in = example();

        in.end_ns = CLOCK_NEVER;
        in.cause = DEADLINE_NONE;
        in.measured.saves = 0;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_CALIBRATE);
}
END_TEST

START_TEST(a_preemption_is_acted_on_at_once_whatever_the_lead)
{
        struct deadline_inputs in = example();
        struct deadline_plan plan;

        in.cause = DEADLINE_PREEMPTED;
        plan = deadline_plan(&in);
        ck_assert_int_eq(plan.next, SAVE_PREEMPTED);
        ck_assert_int_le(plan.next_ns, in.now_ns);
        ck_assert_int_eq(plan.final_ns, in.now_ns);
        in.measured.saves = 0;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_PREEMPTED);
        in.end_ns = CLOCK_NEVER;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_PREEMPTED);
        ck_assert_int_le(deadline_plan(&in).next_ns, in.now_ns);
        in.end_ns = in.now_ns - S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_PREEMPTED);
        ck_assert_int_eq(deadline_plan(&in).final_ns, in.end_ns);
}
END_TEST

START_TEST(nothing_is_planned_once_the_final_save_was_asked_for)
{
        struct deadline_inputs in = example();
        enum deadline_cause cause;

        in.final_asked = 1;
        in.interval_ns = S;
        for (cause = DEADLINE_NONE; cause <= DEADLINE_POLICY; cause++) {
                in.cause = cause;
                ck_assert_int_eq(deadline_plan(&in).next, SAVE_NONE);
                ck_assert_int_eq(deadline_plan(&in).next_ns, CLOCK_NEVER);
        }
        in.measured.saves = 0;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_NONE);
}
END_TEST

START_TEST(a_deadline_that_is_over_is_acted_on_at_once)
{
        struct deadline_inputs in = example();

        in.now_ns = 2000 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        ck_assert_int_le(deadline_plan(&in).next_ns, in.now_ns);
        in.end_ns = 50 * S;
        ck_assert_int_eq(deadline_plan(&in).final_ns, 50 * S);
}
END_TEST

START_TEST(interval_saves_follow_the_last_save)
{
        struct deadline_inputs in = example();

        in.interval_ns = 60 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        ck_assert_int_eq(deadline_plan(&in).next_ns, 350 * S);
        in.last_save_ns = 200 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        ck_assert_int_le(deadline_plan(&in).next_ns, in.now_ns);
        in.last_save_ns = 0;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
}
END_TEST

START_TEST(an_interval_save_that_would_delay_the_final_one_is_not_planned)
{
        struct deadline_inputs in = example();

        in.interval_ns = 100 * S;
        in.last_save_ns = 1061 * S - 35 * S - 100 * S;
        in.now_ns = 950 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        in.last_save_ns++;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        /* Overdue: it is now that counts. */
        in.last_save_ns = 500 * S;
        in.now_ns = 1026 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        in.now_ns++;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_LIMIT);
        ck_assert_int_eq(deadline_plan(&in).next_ns, 1061 * S);
}
END_TEST

START_TEST(without_a_deadline_interval_saves_go_on_and_nothing_is_final)
{
        struct deadline_inputs in = example();

        in.end_ns = CLOCK_NEVER;
        in.cause = DEADLINE_NONE;
        ck_assert_int_eq(deadline_plan(&in).final_ns, CLOCK_NEVER);
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_NONE);
        in.interval_ns = 60 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        ck_assert_int_eq(deadline_plan(&in).next_ns, 350 * S);
}
END_TEST

START_TEST(a_calibrating_save_that_failed_is_followed_at_the_interval)
{
        struct deadline_inputs in = example();

        in.measured.saves = 0;
        in.interval_ns = 60 * S;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_CALIBRATE);
        in.calibrate_asked = 1;
        ck_assert_int_eq(deadline_plan(&in).next, SAVE_INTERVAL);
        ck_assert_int_eq(deadline_plan(&in).next_ns, 350 * S);
}
END_TEST

START_TEST(a_lead_longer_than_the_stint_leaves_room_for_a_few_steps)
{
        struct deadline_inputs in = example();
        struct deadline_plan plan;

        in.measured.write_ns = 5000 * S;
        in.steps = 0;
        in.step_ns = 0;
        plan = deadline_plan(&in);
        ck_assert_int_eq(plan.final_ns, in.end_ns);
        in.steps = 1;
        in.step_ns = 10 * S;
        plan = deadline_plan(&in);
        ck_assert_int_eq(plan.final_ns, in.now_ns + (DEADLINE_CALIBRATE_STEPS - 1) * 10 * S);
        ck_assert_int_eq(plan.next, SAVE_LIMIT);
        in.steps = DEADLINE_CALIBRATE_STEPS;
        plan = deadline_plan(&in);
        ck_assert_int_eq(plan.final_ns, in.start_ns);
        ck_assert_int_le(plan.next_ns, in.now_ns);
        ck_assert_int_eq(plan.next, SAVE_LIMIT);
}
END_TEST

START_TEST(a_lead_that_fits_does_not_wait_for_steps_to_be_made)
{
        struct deadline_inputs in = example();

        in.steps = 0;
        in.measured.write_ns = 900 * S;
        ck_assert_int_eq(deadline_plan(&in).final_ns, (1100 - 909) * S);
        ck_assert_int_le(deadline_plan(&in).next_ns, in.now_ns);
}
END_TEST

START_TEST(the_automatic_interval_is_youngs)
{
        ck_assert_int_eq(deadline_interval(2 * S, 10000 * S), 198 * S);
        ck_assert_int_eq(deadline_interval(0, 86400 * S), 5 * S);
        ck_assert_int_eq(deadline_interval(1, 1), 5 * S);
        ck_assert_int_eq(deadline_interval(3600 * S, 3600 * S), 3600 * S);
        ck_assert_int_eq(deadline_interval(CLOCK_NEVER, 3600 * S), 3600 * S);
        ck_assert_int_eq(deadline_interval(-5, -5), 5 * S);
        ck_assert_int_ge(deadline_interval(33 * S, CLOCK_NEVER), 5 * S);
}
END_TEST

START_TEST(the_automatic_interval_takes_what_saves_have_cost)
{
        struct deadline_inputs in = example();

        in.interval_ns = 0;
        in.measured.cost_ns = 33 * S;
        ck_assert_int_eq(deadline_plan(&in).interval_ns, deadline_interval(33 * S, in.mtbf_ns));
        in.measured.saves = 0;
        ck_assert_int_eq(deadline_plan(&in).interval_ns, deadline_interval(32 * S, in.mtbf_ns));
}
END_TEST

START_TEST(the_interval_only_grows_with_its_cost)
{
        int64_t cost, last = 0;

        for (cost = 0; cost < 4000 * S; cost += S / 3) {
                int64_t interval = deadline_interval(cost, 3600 * S);

                ck_assert_int_ge(interval, last);
                ck_assert_int_ge(interval, 5 * S);
                ck_assert_int_le(interval, 3600 * S);
                last = interval;
        }
}
END_TEST

START_TEST(the_automatic_interval_takes_what_training_loses_by_a_save)
{
        struct deadline_inputs in = example();

        in.interval_ns = 0;
        in.measured.cost_ns = 10 * S; /* of a save that takes 33 s */
        in.measured.write_ns = 30 * S;
        ck_assert_int_eq(deadline_plan(&in).interval_ns, deadline_interval(10 * S, in.mtbf_ns));
        in.measured.cost_ns = S / 10; /* then writing would go on for a quarter of the time */
        ck_assert_int_eq(deadline_plan(&in).interval_ns, 10 * in.measured.write_ns);
        in.mtbf_ns = 600 * S; /* failures are so frequent that it may */
        ck_assert_int_eq(deadline_plan(&in).interval_ns, deadline_interval(33 * S, in.mtbf_ns));
        in.measured.saves = 0;
        ck_assert_int_eq(deadline_plan(&in).interval_ns, deadline_interval(32 * S, in.mtbf_ns));
}
END_TEST

START_TEST(a_write_in_flight_comes_before_the_final_one)
{
        struct deadline_inputs in = example();
        int64_t quiet = deadline_plan(&in).lead_ns;

        in.flying_since_ns = in.now_ns;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, quiet + 30 * S);
        in.flying_since_ns = in.now_ns - 20 * S;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, quiet + 10 * S);
        in.flying_since_ns = in.now_ns - 30 * S;
        ck_assert_int_eq(deadline_plan(&in).lead_ns, quiet);
        in.flying_since_ns = in.now_ns + 7 * S; /* it is streamed, and the rest of its copy comes first */
        ck_assert_int_eq(deadline_plan(&in).lead_ns, quiet + 37 * S);
}
END_TEST

START_TEST(the_lead_grows_while_a_write_is_slower_than_any)
{
        struct deadline_inputs in = example();
        int64_t quiet = deadline_plan(&in).lead_ns, final = deadline_plan(&in).final_ns, last = quiet;
        int late;

        for (late = 1; late < 200; late++) {
                in.flying_since_ns = in.now_ns - (30 + late) * S;
                ck_assert_int_gt(deadline_plan(&in).lead_ns, last);
                last = deadline_plan(&in).lead_ns;
        }
        /* Twice: the rest of that one, and the next one as slow. */
        ck_assert_int_eq(last, quiet + 2 * 199 * S);
        ck_assert_int_eq(deadline_plan(&in).final_ns, final - 2 * 199 * S);
}
END_TEST

START_TEST(a_streamed_save_is_borne_with_for_ten_times_what_saves_take)
{
        struct deadline_measured m = { 0 };

        /* Nothing measured: the guess counts, 2 s and 3 GB at 100 MB/s. */
        ck_assert_int_eq(deadline_patience(&m, 0, 0), 20 * S);
        ck_assert_int_eq(deadline_patience(&m, UINT64_C(3000000000), 0), 320 * S);
        m = (struct deadline_measured){ .snapshot_ns = 3 * S, .write_ns = S, .commit_ns = S / 2, .saves = 1 };
        ck_assert_int_eq(deadline_patience(&m, UINT64_C(3000000000), 0), 45 * S);
        m.snapshot_ns = m.write_ns = m.commit_ns = 0; /* a hiccup of a disk is no hang */
        ck_assert_int_eq(deadline_patience(&m, 0, 0), DEADLINE_PATIENCE_LEAST);
}
END_TEST

START_TEST(and_for_longer_each_time_that_one_was_given_up)
{
        struct deadline_measured m = { .snapshot_ns = 9 * S, .write_ns = S, .saves = 5 };

        ck_assert_int_eq(deadline_patience(&m, 0, 1), 200 * S);
        ck_assert_int_eq(deadline_patience(&m, 0, 3), 800 * S);
        ck_assert_int_eq(deadline_patience(&m, 0, UINT_MAX), deadline_patience(&m, 0, DEADLINE_PATIENCE_DOUBLED));
        m.write_ns = CLOCK_NEVER; /* whatever was told */
        ck_assert_int_eq(deadline_patience(&m, 0, 4), CLOCK_NEVER);
}
END_TEST

START_TEST(reasons_and_causes_have_words_and_come_back)
{
        enum save_reason reason;

        for (reason = SAVE_NONE; reason <= SAVE_STOP; reason++)
                ck_assert_int_eq(save_reason_from_name(save_reason_name(reason)), reason);
        ck_assert_str_eq(save_reason_name(SAVE_LIMIT), "time limit");
        ck_assert_str_eq(save_reason_name(SAVE_PREEMPTED), "preemption");
        ck_assert_str_eq(save_reason_name((enum save_reason)99), "unknown");
        ck_assert_int_eq(save_reason_from_name("unknown"), SAVE_NONE);
        ck_assert_int_eq(save_reason_from_name(""), SAVE_NONE);
        ck_assert_str_eq(deadline_cause_name(DEADLINE_PREEMPTED), "preemption");
        ck_assert_str_eq(deadline_cause_name(DEADLINE_POLICY), "policy");
        ck_assert_str_eq(deadline_cause_name((enum deadline_cause)-1), "unknown");
        ck_assert(save_is_final(SAVE_STOP) && save_is_final(SAVE_LIMIT) && !save_is_final(SAVE_COMPLETE));
}
END_TEST

/* ---- whatever the numbers are ---- */

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

/* Of every size, with the values at which sums go wrong among them. */
static int64_t random_ns(void)
{
        static const int64_t edges[] = { 0, 1, -1, CLOCK_NEVER, CLOCK_NEVER - 1, INT64_MIN, INT64_MAX / 2, CLOCK_SECOND };

        if (random_u64() % 8 == 0)
                return edges[random_u64() % 8];
        if (random_u64() % 16 == 0)
                return -(int64_t)(random_u64() >> (1 + random_u64() % 62));
        return (int64_t)(random_u64() >> (1 + random_u64() % 62));
}

static struct deadline_inputs random_inputs(void)
{
        struct deadline_inputs in = { 0 };

        in.now_ns = random_ns();
        in.start_ns = random_ns();
        in.end_ns = random_ns();
        in.cause = (enum deadline_cause)(random_u64() % (DEADLINE_POLICY + 1));
        in.step_ns = random_ns();
        in.steps = (uint32_t)(random_u64() % 6);
        in.agree_every = (int)random_ns();
        in.several_ranks = (int)(random_u64() % 2);
        in.measured.delay_ns = random_ns();
        in.measured.snapshot_ns = random_ns();
        in.measured.write_ns = random_ns();
        in.measured.commit_ns = random_ns();
        in.measured.cost_ns = random_ns();
        in.flying_since_ns = random_u64() % 2 ? random_ns() : 0;
        in.measured.saves = (uint32_t)(random_u64() % 3);
        in.state_bytes = (uint64_t)random_ns();
        in.margin_ns = random_ns();
        in.last_save_ns = random_ns();
        in.interval_ns = random_ns();
        in.mtbf_ns = random_ns();
        in.outlive_ns = random_u64() % 2 ? random_ns() : 0;
        in.final_asked = random_u64() % 8 == 0;
        in.calibrate_asked = (int)(random_u64() % 2);
        return in;
}

static void assert_plan_holds(const struct deadline_inputs *in, const struct deadline_plan *p)
{
        ck_assert_int_ge(p->lead_ns, 0);
        ck_assert_int_gt(p->interval_ns, 0);
        ck_assert((p->next == SAVE_NONE) == (p->next_ns == CLOCK_NEVER) || in->now_ns == CLOCK_NEVER);
        ck_assert_int_le(p->final_ns, in->end_ns);
        if (in->end_ns != CLOCK_NEVER)
                ck_assert_int_ne(p->final_ns, CLOCK_NEVER);
        if (in->end_ns == CLOCK_NEVER && in->cause != DEADLINE_PREEMPTED)
                ck_assert_int_eq(p->final_ns, CLOCK_NEVER);
        if (in->cause != DEADLINE_PREEMPTED && in->end_ns != CLOCK_NEVER && in->end_ns >= in->start_ns)
                ck_assert_int_ge(p->final_ns, in->start_ns);
        if (in->final_asked) {
                ck_assert_int_eq(p->next, SAVE_NONE);
                return;
        }
        /* A deadline that is known always has its final save planned, or something before it. */
        if (in->end_ns != CLOCK_NEVER) {
                ck_assert_int_ne(p->next, SAVE_NONE);
                ck_assert_int_le(p->next_ns, p->final_ns);
        }
        if (in->end_ns != CLOCK_NEVER && p->final_ns <= in->now_ns)
                ck_assert(save_is_final(p->next));
        if (in->cause == DEADLINE_PREEMPTED && in->now_ns != CLOCK_NEVER) {
                ck_assert_int_eq(p->next, SAVE_PREEMPTED);
                ck_assert_int_le(p->next_ns, in->now_ns);
        }
}

START_TEST(any_numbers_make_a_plan_that_holds)
{
        int round;

        for (round = 0; round < 30000; round++) {
                struct deadline_inputs in = random_inputs();
                struct deadline_plan p = deadline_plan(&in);

                assert_plan_holds(&in, &p);
        }
}
END_TEST

/*
 * The costs, one by one: more of any of them never makes the lead shorter, nor the final save later.  With a write in
 * flight it may: one that was known to take longer is less late.
 */
START_TEST(a_higher_cost_never_means_a_later_save)
{
        int round;

        for (round = 0; round < 30000; round++) {
                struct deadline_inputs in = random_inputs();
                int64_t *costs[] = { &in.step_ns,           &in.measured.delay_ns,  &in.measured.snapshot_ns,
                                     &in.measured.write_ns, &in.measured.commit_ns, &in.margin_ns };
                struct deadline_plan before, after;
                int64_t *cost = costs[random_u64() % 6], more = random_ns();

                in.flying_since_ns = 0;
                before = deadline_plan(&in);
                if (more > *cost)
                        *cost = more;
                if (random_u64() % 4 == 0 && in.agree_every < 1000)
                        in.agree_every += 7;
                if (random_u64() % 4 == 0)
                        in.state_bytes = in.state_bytes / 2 + (UINT64_MAX >> 1);
                after = deadline_plan(&in);
                ck_assert_int_ge(after.lead_ns, before.lead_ns);
                /* A stint too short for its save is the exception that deadline.h names; its steps come first. */
                if (in.steps >= DEADLINE_CALIBRATE_STEPS)
                        ck_assert_int_le(after.final_ns, before.final_ns);
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "deadline");

        tcase_add_test(all, the_lead_is_the_sum_of_what_was_measured);
        tcase_add_test(all, a_write_that_stintd_can_finish_is_not_in_the_lead);
        tcase_add_test(all, several_ranks_need_the_steps_until_they_agree_and_one_more);
        tcase_add_test(all, with_nothing_measured_the_size_of_the_state_is_the_guess);
        tcase_add_test(all, a_guess_takes_at_most_half_of_the_stint);
        tcase_add_test(all, a_calibrating_save_is_due_once_after_a_few_steps);
        tcase_add_test(all, without_a_deadline_a_calibrating_save_is_due_too);
        tcase_add_test(all, a_preemption_is_acted_on_at_once_whatever_the_lead);
        tcase_add_test(all, nothing_is_planned_once_the_final_save_was_asked_for);
        tcase_add_test(all, a_deadline_that_is_over_is_acted_on_at_once);
        tcase_add_test(all, interval_saves_follow_the_last_save);
        tcase_add_test(all, an_interval_save_that_would_delay_the_final_one_is_not_planned);
        tcase_add_test(all, without_a_deadline_interval_saves_go_on_and_nothing_is_final);
        tcase_add_test(all, a_calibrating_save_that_failed_is_followed_at_the_interval);
        tcase_add_test(all, a_lead_longer_than_the_stint_leaves_room_for_a_few_steps);
        tcase_add_test(all, a_lead_that_fits_does_not_wait_for_steps_to_be_made);
        tcase_add_test(all, the_automatic_interval_is_youngs);
        tcase_add_test(all, the_automatic_interval_takes_what_saves_have_cost);
        tcase_add_test(all, the_interval_only_grows_with_its_cost);
        tcase_add_test(all, the_automatic_interval_takes_what_training_loses_by_a_save);
        tcase_add_test(all, a_write_in_flight_comes_before_the_final_one);
        tcase_add_test(all, the_lead_grows_while_a_write_is_slower_than_any);
        tcase_add_test(all, a_streamed_save_is_borne_with_for_ten_times_what_saves_take);
        tcase_add_test(all, and_for_longer_each_time_that_one_was_given_up);
        tcase_add_test(all, reasons_and_causes_have_words_and_come_back);
        tcase_add_test(all, any_numbers_make_a_plan_that_holds);
        tcase_add_test(all, a_higher_cost_never_means_a_later_save);
}

SUITE_MAIN("deadline", add_tests)
