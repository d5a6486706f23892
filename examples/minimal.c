/* SPDX-License-Identifier: BSD-3-Clause */
/* minimal: the smallest whole program under stint, a random walk of as many steps as its argument says. */
#include "stint.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
        int64_t step = 0, steps = argc > 1 ? atoll(argv[1]) : 1000000;
        uint64_t rng = 1;
        double x = 0;

        struct stint *s = stint_open(NULL, NULL);
        stint_attach(s, "model/x", STINT_SCALAR(&x, STINT_F64));
        stint_attach(s, "rng", STINT_SCALAR(&rng, STINT_U64));
        if (stint_restore(s, &step) < 0) {
                fprintf(stderr, "minimal: %s\n", stint_why(s));
                return 1;
        }
        while (step < steps) {
                rng = rng * 6364136223846793005u + 1442695040888963407u;
                x += (double)(rng >> 33) / (1u << 30) - 1;
                if (stint_step(s, ++step) == STINT_STOP)
                        break;
        }
        if (step >= steps) {
                stint_complete(s);
                printf("x = %.17g after %lld steps\n", x, (long long)step);
        }
        stint_close(s);
        return 0;
}
