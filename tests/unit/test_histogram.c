/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_histogram: buckets, their edges, and quantiles against sorted durations. */
#include <check.h>
#include <string.h>
#include "histogram.h"
#include "suite.h"

static int64_t quantile_of_one(int64_t ns)
{
        struct histogram h = {{0}};

        histogram_add(&h, ns);
        return histogram_quantile(&h, 0.5);
}

START_TEST(nothing_added_has_no_quantile)
{
        struct histogram h = {{0}};

        ck_assert_uint_eq(histogram_count(&h), 0);
        ck_assert_int_eq(histogram_quantile(&h, 0.5), 0);
        ck_assert_int_eq(histogram_quantile(&h, 1), 0);
}
END_TEST

START_TEST(a_duration_is_never_told_too_low_and_at_most_a_quarter_too_high)
{
        int64_t edges[3];

        for (int bit = 2; bit < 43; bit++) {
                for (int sub = 4; sub < 8; sub++) {
                        edges[0] = (int64_t)sub << (bit - 2);
                        edges[1] = edges[0] + 1;
                        edges[2] = ((int64_t)(sub + 1) << (bit - 2)) - 1;
                        for (int i = 0; i < 3; i++) {
                                int64_t told = quantile_of_one(edges[i]);

                                ck_assert_int_ge(told, edges[i]);
                                ck_assert_int_le(4 * told, 5 * edges[i]);
                        }
                }
        }
}
END_TEST

START_TEST(the_smallest_durations_are_told_exactly)
{
        for (int64_t ns = 0; ns < 8; ns++)
                ck_assert_int_eq(quantile_of_one(ns), ns);
        ck_assert_int_eq(quantile_of_one(-5), 0);
        ck_assert_int_eq(quantile_of_one(INT64_MIN), 0);
}
END_TEST

START_TEST(durations_beyond_the_last_bucket_count_in_it)
{
        int64_t most = (INT64_C(1) << 43) - 1;

        ck_assert_int_eq(quantile_of_one(most), most);
        ck_assert_int_eq(quantile_of_one(most + 1), most);
        ck_assert_int_eq(quantile_of_one(INT64_MAX), most);
        ck_assert_uint_eq(histogram_bucket(INT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

START_TEST(buckets_grow_with_the_duration_and_leave_no_gap)
{
        unsigned last = 0;

        for (int64_t ns = 0; ns < 5000; ns++) {
                unsigned bucket = histogram_bucket(ns);

                ck_assert(bucket == last || bucket == last + 1);
                last = bucket;
        }
}
END_TEST

START_TEST(a_quantile_is_the_duration_of_that_rank)
{
        struct histogram h = {{0}};

        /* 90 of 4 ns, 9 of 100 us, 1 of 1 s. */
        for (int i = 0; i < 90; i++)
                histogram_add(&h, 4);
        for (int i = 0; i < 9; i++)
                histogram_add(&h, 100000);
        histogram_add(&h, 1000000000);
        ck_assert_uint_eq(histogram_count(&h), 100);
        ck_assert_int_eq(histogram_quantile(&h, 0.0001), 4);
        ck_assert_int_eq(histogram_quantile(&h, 0.5), 4);
        ck_assert_int_eq(histogram_quantile(&h, 0.9), 4);
        ck_assert_int_eq(histogram_quantile(&h, 0.91), quantile_of_one(100000));
        ck_assert_int_eq(histogram_quantile(&h, 0.99), quantile_of_one(100000));
        ck_assert_int_eq(histogram_quantile(&h, 0.991), quantile_of_one(1000000000));
        ck_assert_int_eq(histogram_quantile(&h, 1), quantile_of_one(1000000000));
}
END_TEST

START_TEST(every_percent_of_a_hundred_different_ones_is_its_own)
{
        struct histogram h = {{0}};

        for (int i = 0; i < 100; i++)
                h.counts[i] = 1;
        for (int percent = 2; percent <= 100; percent++)
                ck_assert_int_gt(histogram_quantile(&h, percent / 100.0),
                                 histogram_quantile(&h, (percent - 1) / 100.0));
}
END_TEST

START_TEST(counts_beyond_32_bits_in_all_still_add_up)
{
        struct histogram h = {{0}};

        h.counts[4] = UINT32_MAX;
        h.counts[5] = UINT32_MAX;
        ck_assert_uint_eq(histogram_count(&h), 2 * (uint64_t)UINT32_MAX);
        ck_assert_int_eq(histogram_quantile(&h, 0.4), 4);
        ck_assert_int_eq(histogram_quantile(&h, 0.6), 5);
}
END_TEST

START_TEST(what_was_added_since_a_copy_is_told_apart)
{
        struct histogram now = {{0}}, then, since;

        histogram_add(&now, 1000);
        then = now;
        for (int i = 0; i < 3; i++)
                histogram_add(&now, 50);
        histogram_since(&since, &now, &then);
        ck_assert_uint_eq(histogram_count(&since), 3);
        ck_assert_int_eq(histogram_quantile(&since, 1), quantile_of_one(50));
        histogram_since(&now, &now, &then); /* in place */
        ck_assert_mem_eq(&now, &since, sizeof now);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "histogram");

        tcase_add_test(tests, nothing_added_has_no_quantile);
        tcase_add_test(tests, a_duration_is_never_told_too_low_and_at_most_a_quarter_too_high);
        tcase_add_test(tests, the_smallest_durations_are_told_exactly);
        tcase_add_test(tests, durations_beyond_the_last_bucket_count_in_it);
        tcase_add_test(tests, buckets_grow_with_the_duration_and_leave_no_gap);
        tcase_add_test(tests, a_quantile_is_the_duration_of_that_rank);
        tcase_add_test(tests, every_percent_of_a_hundred_different_ones_is_its_own);
        tcase_add_test(tests, counts_beyond_32_bits_in_all_still_add_up);
        tcase_add_test(tests, what_was_added_since_a_copy_is_told_apart);
}

SUITE_MAIN("histogram", add_tests)
