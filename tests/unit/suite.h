/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * suite: what every program in tests/unit ends with: its tests are run as Check's environment says, and it fails when
 * one of them does.  SUITE_MAIN is the whole main() of a program that has nothing to do before and after.
 */
#ifndef STINT_SUITE_H
#define STINT_SUITE_H

#include <check.h>

#define SUITE_MAIN(name, add_tests)                                                                                    \
        int main(void)                                                                                                 \
        {                                                                                                              \
                return suite_run(name, add_tests);                                                                     \
        }

/* A case of the suite, to which tests and their fixture are added. */
static inline TCase *suite_case(Suite *suite, const char *name)
{
        TCase *tests = tcase_create(name);

        suite_add_tcase(suite, tests);
        return tests;
}

/* What main() returns: 0 when every test has passed. */
static inline int suite_run(const char *name, void (*add_tests)(Suite *suite))
{
        Suite *suite = suite_create(name);
        SRunner *runner;
        int failed;

        add_tests(suite);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0;
}

#endif
