/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * self: runs a fuzz target without a fuzzer: each seed as it is, and then mutations of them, the same ones every time,
 * for a second at most. `make check` runs this; the output is TAP.
 *
 *   PROGRAM             the test; FUZZ_RUNS is how many inputs at most, FUZZ_SECONDS how long
 *   PROGRAM --seeds DIR writes the seeds there, for libFuzzer to begin with
 *   PROGRAM FILE        one input, such as a fuzzer or a failed test has left
 */
#include <signal.h>
#include <time.h>
#include "fuzz.h"

#define HANGS_AFTER_S 20

static uint8_t seeds[64][FUZZ_MOST], input[FUZZ_MOST];
static size_t sizes[64], input_n;
static unsigned seed_count;
static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

/* xorshift64*: any generator will do that is the same everywhere. */
static uint64_t random_below(uint64_t limit)
{
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return limit ? (state * UINT64_C(2685821657736338717) >> 11) % limit : 0;
}

/* ---- mutations --------------------------------------------------------------------------------------------------- */

static void put_number(size_t at)
{
        static const uint64_t edges[] = {0,
                                         1,
                                         7,
                                         8,
                                         255,
                                         256,
                                         4095,
                                         4096,
                                         4097,
                                         INT32_MAX,
                                         UINT32_MAX,
                                         INT64_MAX,
                                         (uint64_t)INT64_MAX + 1,
                                         UINT64_MAX,
                                         UINT64_MAX - 7,
                                         UINT64_MAX / 2,
                                         4000000,
                                         4000001};
        uint64_t value = edges[random_below(sizeof edges / sizeof *edges)];
        const size_t width = (size_t)1 << random_below(4);

        at -= at % width;
        if (at + width <= input_n)
                memcpy(input + at, &value, width);
}

static void cut_out(size_t at, size_t n)
{
        memmove(input + at, input + at + n, input_n - at - n);
        input_n -= n;
}

static void put_in(size_t at, const char *bytes, size_t n)
{
        if (n > FUZZ_MOST - input_n)
                return;
        memmove(input + at + n, input + at, input_n - at);
        memcpy(input + at, bytes, n);
        input_n += n;
}

/* The next number in a text becomes another one, or negative. */
static void change_number(size_t at)
{
        static const char *const others[] = {"0",
                                             "-1",
                                             "1e300",
                                             "0.5",
                                             "4294967296",
                                             "9223372036854775807",
                                             "9223372036854775808",
                                             "-9223372036854775808",
                                             "null",
                                             "\"1\""};
        const char *other = others[random_below(sizeof others / sizeof *others)];
        size_t n = 0;

        while (at < input_n && (input[at] < '0' || input[at] > '9'))
                at++;
        while (at + n < input_n && input[at + n] >= '0' && input[at + n] <= '9')
                n++;
        if (n == 0)
                return;
        if (random_below(4) == 0) {
                put_in(at, "-", 1);
                return;
        }
        cut_out(at, n);
        put_in(at, other, strlen(other));
}

/* A word grows beyond any field that it could be copied into. */
static void lengthen(size_t at)
{
        char many[1500];
        const size_t n = random_below(3) == 0 ? random_below(sizeof many) : random_below(130);

        memset(many, "a1/. "[random_below(5)], sizeof many);
        put_in(at, many, n);
}

/* Another part of this seed, or of another one, over or into what is there. */
static void take_part(size_t at)
{
        const unsigned other = (unsigned)random_below(seed_count);
        size_t from = random_below(sizes[other]), n = random_below(sizes[other] - from) + 1;
        const int insert = (int)random_below(2);

        if (n > FUZZ_MOST - at || (insert && n > FUZZ_MOST - input_n))
                return;
        if (insert) {
                memmove(input + at + n, input + at, input_n - at);
                input_n += n;
        } else if (at + n > input_n) {
                input_n = at + n;
        }
        memcpy(input + at, seeds[other] + from, n);
}

static void mutate_once(void)
{
        const size_t at = random_below(input_n);

        if (input_n == 0)
                return;
        switch (random_below(9)) {
        case 0:
                input[at] ^= (uint8_t)(1u << random_below(8));
                return;
        case 1:
                input[at] = (uint8_t)random_below(256);
                return;
        case 2:
                input[at] = (uint8_t) "0123456789-+.eE{}[]\",:\\ \n\t"[random_below(26)];
                return;
        case 3:
                put_number(at);
                return;
        case 4:
                cut_out(at, random_below(input_n - at) + 1);
                return;
        case 5:
                input_n = at;
                return;
        case 6:
                change_number(at);
                return;
        case 7:
                lengthen(at);
                return;
        default:
                take_part(at);
        }
}

static void make_input(uint64_t number)
{
        const unsigned seed = (unsigned)(number % seed_count);

        input_n = sizes[seed];
        memcpy(input, seeds[seed], input_n);
        if (number < seed_count)
                return;
        for (uint64_t i = random_below(5) + 1; i > 0; i--)
                mutate_once();
}

/* ---- when it goes wrong ------------------------------------------------------------------------------------------ */

/* Leaves the input behind, so that it can be run again alone, and dies of what it had to die of. */
static void on_crash(int signal_number)
{
        static const char where[] = "fuzz-crash-input", told[] = "not ok 1 - the input is in fuzz-crash-input\n";
        const int fd = open(where, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        if (fd >= 0 && write(fd, input, input_n) == (ssize_t)input_n && write(STDOUT_FILENO, told, sizeof told - 1) < 0)
                _exit(98);
        signal(signal_number, SIG_DFL);
        raise(signal_number);
}

static void watch_for_crashes(void)
{
        static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};

        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
                signal(signals[i], on_crash);
}

/* ---- the three ways ---------------------------------------------------------------------------------------------- */

static void run_input(void)
{
        uint8_t *exact = fuzz_copy(input, input_n);

        alarm(HANGS_AFTER_S);
        FUZZ_CHECK(LLVMFuzzerTestOneInput(exact, input_n) == 0);
        alarm(0);
        free(exact);
}

static int run_file(const char *path)
{
        FILE *f = fopen(path, "rb");

        FUZZ_CHECK(f != NULL);
        input_n = fread(input, 1, sizeof input, f);
        fclose(f);
        run_input();
        return 0;
}

static int write_seeds(const char *dir)
{
        char path[1024];
        FILE *f;

        for (unsigned i = 0; i < seed_count; i++) {
                snprintf(path, sizeof path, "%s/seed-%u", dir, i);
                f = fopen(path, "wb");
                FUZZ_CHECK(f != NULL && fwrite(seeds[i], 1, sizes[i], f) == sizes[i] && fclose(f) == 0);
        }
        return 0;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
        const char *given = getenv(name);

        return given ? strtoull(given, NULL, 10) : otherwise;
}

static double seconds(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
        const uint64_t runs = setting("FUZZ_RUNS", 10000000);
        const double until = seconds() + (double)setting("FUZZ_SECONDS", 1);
        uint64_t i;

        while (seed_count < 64 && (sizes[seed_count] = fuzz_seed(seed_count, seeds[seed_count])) > 0)
                seed_count++;
        FUZZ_CHECK(seed_count > 0);
        if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
                return write_seeds(argv[2]);
        watch_for_crashes();
        if (argc == 2)
                return run_file(argv[1]);
        for (i = 0; i < runs && (i < seed_count || seconds() < until); i++) {
                make_input(i);
                run_input();
        }
        printf("ok 1 - %llu inputs, made from %u seeds\n1..1\n", (unsigned long long)i, seed_count);
        return 0;
}
