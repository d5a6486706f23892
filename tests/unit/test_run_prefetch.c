/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_run_prefetch: where a rank's file is read before anybody knows where the rank will be. */
#include <check.h>
#include "run_prefetch.h"
#include "suite.h"

static const char *const here[] = { "n1", "n2" };

static json_t *places_of(const char *nodes)
{
        json_t *places = json_array();

        for (; *nodes; nodes++)
                json_array_append_new(places, json_pack("{s:o}", "node", json_sprintf("n%c", *nodes)));
        return places;
}

/* "0011": the agents that the ranks are expected at. */
static void expect(const char *nodes, uint32_t ranks, const char *expected)
{
        json_t *places = nodes ? places_of(nodes) : NULL;
        uint32_t i;

        for (i = 0; i < ranks; i++)
                ck_assert_msg(prefetch_place(places, here, 2, i, ranks) == (unsigned)(expected[i] - '0'), "%s: rank %u",
                              nodes ? nodes : "no places", i);
        json_decref(places);
}

START_TEST(a_rank_is_expected_on_the_node_that_it_was_on)
{
        expect("1122", 4, "0011");
        expect("2211", 4, "1100");
        expect("1212", 4, "0101");
}
END_TEST

START_TEST(on_other_nodes_their_order_stays)
{
        expect("5577", 4, "0011");
        expect("7755", 4, "0011");
        expect("7575", 4, "0101");
}
END_TEST

START_TEST(what_was_on_more_nodes_than_there_are_goes_round)
{
        expect("567", 3, "010");
}
END_TEST

START_TEST(without_places_or_with_those_of_another_world_it_is_blocks)
{
        expect(NULL, 4, "0011");
        expect("12", 4, "0011");
        expect(NULL, 3, "001");
        expect(NULL, 1, "0");
}
END_TEST

START_TEST(places_that_are_nonsense_give_an_agent_all_the_same)
{
        json_t *places = json_pack("[i, s, {s:i}, n]", 1, "n1", "node", 5);
        uint32_t i;

        for (i = 0; i < 4; i++)
                ck_assert_uint_lt(prefetch_place(places, here, 2, i, 4), 2);
        json_decref(places);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "run_prefetch");

        tcase_add_test(all, a_rank_is_expected_on_the_node_that_it_was_on);
        tcase_add_test(all, on_other_nodes_their_order_stays);
        tcase_add_test(all, what_was_on_more_nodes_than_there_are_goes_round);
        tcase_add_test(all, without_places_or_with_those_of_another_world_it_is_blocks);
        tcase_add_test(all, places_that_are_nonsense_give_an_agent_all_the_same);
}

SUITE_MAIN("run_prefetch", add_tests)
