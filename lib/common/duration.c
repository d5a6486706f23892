/* SPDX-License-Identifier: BSD-3-Clause */
/* duration: times and sizes as people write and read them; called for options, faults, log lines and tables. */
#include "duration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"

#define DURATION_MOST (INT64_C(36525) * 86400 * CLOCK_SECOND) /* 100 years; twice that still fits an int64_t */
#define SIZE_MOST (INT64_C(1) << 59)                          /* 512 PiB */

static const struct {
        const char *word;
        int64_t ns;
} units[] = {
        {"d", 86400 * CLOCK_SECOND}, {"h", 3600 * CLOCK_SECOND}, {"m", 60 * CLOCK_SECOND},
        {"s", CLOCK_SECOND},         {"ms", CLOCK_MS},
};

#define UNITS (sizeof units / sizeof units[0])

static int is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static int refuse_duration(const char *text, const char *why, struct stint_error *err)
{
        return error_set(err, EINVAL, "'%s' is not a duration%s%s; write it as 90s, 5m, 1h30m, 250ms or HH:MM:SS", text,
                         *why ? ": " : "", why);
}

/*
 * A number of digits at *at, which moves behind them; -1 when there are none.  It stops growing above 10^18, more than
 * any caller accepts.
 */
static int64_t read_digits(const char **at)
{
        int64_t value = 0;

        if (!is_digit(**at))
                return -1;
        for (; is_digit(**at); (*at)++)
                if (value < INT64_C(100000000000000000))
                        value = value * 10 + (**at - '0');
                else
                        value = INT64_C(1000000000000000000);
        return value;
}

/* The unit whose word is the letters at `at`, all of them; UNITS when there is none. */
static size_t find_unit(const char *at)
{
        size_t n = 0, i;

        while ((at[n] >= 'a' && at[n] <= 'z') || (at[n] >= 'A' && at[n] <= 'Z'))
                n++;
        for (i = 0; i < UNITS; i++)
                if (strlen(units[i].word) == n && memcmp(units[i].word, at, n) == 0)
                        break;
        return i;
}

/* ".25" at *at as a share of one unit, digit by digit: exact, unlike doubles.  -1: a point without digits. */
static int64_t read_fraction(const char **at, int64_t unit_ns)
{
        int64_t ns = 0;

        if (**at != '.')
                return 0;
        (*at)++;
        if (!is_digit(**at))
                return -1;
        for (; is_digit(**at); (*at)++) {
                unit_ns /= 10;
                ns += unit_ns * (**at - '0');
        }
        return ns;
}

/* "1h30m", "1.5s", "90". */
static int parse_units(const char *text, int64_t *ns, struct stint_error *err)
{
        const char *at = text;
        size_t unit, next = 0;
        int64_t total = 0;

        do {
                const char *point;
                int64_t whole = read_digits(&at), part;

                if (whole < 0)
                        return refuse_duration(text, "", err);
                point = at;
                if (*at == '.')
                        at += 1 + strspn(at + 1, "0123456789");
                if (*at == '\0' && next == 0) {
                        unit = 3; /* a bare number is seconds */
                } else {
                        unit = find_unit(at);
                        if (unit == UNITS)
                                return refuse_duration(text, "its units are d, h, m, s, ms", err);
                        if (unit < next)
                                return refuse_duration(text, "its units go from large to small", err);
                        at += strlen(units[unit].word);
                }
                next = unit + 1;
                part = read_fraction(&point, units[unit].ns);
                if (part < 0)
                        return refuse_duration(text, "", err);
                if (whole > DURATION_MOST / units[unit].ns || (total += whole * units[unit].ns + part) > DURATION_MOST)
                        return refuse_duration(text, "more than 100 years", err);
        } while (*at);
        *ns = total;
        return 0;
}

/*
 * "D-HH[:MM[:SS]]", "HH:MM:SS", "MM:SS", as sbatch(1) reads --time.  Only the first number may be larger than a clock
 * shows.
 */
static int parse_clock(const char *text, int64_t *ns, struct stint_error *err)
{
        int64_t field[4] = {0}; /* days, hours, minutes, seconds */
        const char *at = text;
        int days = strchr(text, '-') != NULL, colons = 0, first, n;

        for (const char *c = text; *c; c++)
                colons += *c == ':';
        if (colons > 2)
                return refuse_duration(text, "", err);
        n = colons + 1 + days;
        first = days ? 0 : 3 - colons;
        for (int i = first; i < first + n; i++) {
                const char *begin = at;

                field[i] = read_digits(&at);
                if (field[i] < 0)
                        return refuse_duration(text, "", err);
                if (i > first && (at - begin > 2 || field[i] > (i == 1 ? 23 : 59)))
                        return refuse_duration(text, "hours end at 23, minutes and seconds at 59", err);
                if (i + 1 < first + n && *at++ != (i == 0 ? '-' : ':'))
                        return refuse_duration(text, "", err);
        }
        if (*at)
                return refuse_duration(text, "", err);
        if (field[first] > DURATION_MOST / units[first].ns)
                return refuse_duration(text, "more than 100 years", err);
        *ns = 0;
        for (int i = 0; i < 4; i++)
                *ns += field[i] * units[i].ns;
        return *ns > DURATION_MOST ? refuse_duration(text, "more than 100 years", err) : 0;
}

int duration_parse(const char *text, int64_t *ns, struct stint_error *err)
{
        int64_t value;

        if (*text == '-')
                return refuse_duration(text, "it is negative", err);
        if ((strpbrk(text, ":-") ? parse_clock : parse_units)(text, &value, err) < 0)
                return -1;
        *ns = value;
        return 0;
}

/* n of them, to the nearest. */
static uint64_t rounded(uint64_t ns, uint64_t unit_ns)
{
        return (ns + unit_ns / 2) / unit_ns;
}

const char *duration_format(char *out, size_t size, int64_t ns)
{
        uint64_t t = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, n;
        const char *minus = ns < 0 ? "-" : "";

        /* Each is rounded before it is compared, so that 59.97 s is "1m 00s" and never "60.0s". */
        if (ns == CLOCK_NEVER) {
                snprintf(out, size, "-");
                return out;
        }
        if ((n = rounded(t, CLOCK_SECOND / 100)) < 1000) {
                snprintf(out, size, "%s%d.%02ds", n ? minus : "", (int)(n / 100), (int)(n % 100));
        } else if ((n = rounded(t, CLOCK_SECOND / 10)) < 600) {
                snprintf(out, size, "%s%d.%ds", minus, (int)(n / 10), (int)(n % 10));
        } else if ((n = rounded(t, CLOCK_SECOND)) < 3600) {
                snprintf(out, size, "%s%dm %02ds", minus, (int)(n / 60), (int)(n % 60));
        } else if ((n = rounded(t, 60 * CLOCK_SECOND)) < 1440) {
                snprintf(out, size, "%s%dh %02dm", minus, (int)(n / 60), (int)(n % 60));
        } else {
                n = rounded(t, 3600 * CLOCK_SECOND);
                snprintf(out, size, "%s%dd %02dh", minus, (int)(n / 24), (int)(n % 24));
        }
        return out;
}

static int refuse_size(const char *text, struct stint_error *err)
{
        return error_set(err, EINVAL, "'%s' is not a size in bytes; write it as 4096, 64K, 512M or 1.5G", text);
}

/* The power of 1024 that the letter stands for (0: none); -1 when more than an optional B or iB is behind it. */
static int read_power(const char *at, unsigned *shift)
{
        static const char letters[] = "KMGT";
        const char *letter = *at ? strchr(letters, *at) : NULL;

        *shift = letter ? 10 * (unsigned)(letter - letters + 1) : 0;
        at += letter != NULL;
        return strcmp(at, "") == 0 || strcmp(at, "B") == 0 || (letter && strcmp(at, "iB") == 0) ? 0 : -1;
}

int size_parse(const char *text, int64_t *bytes, struct stint_error *err)
{
        const char *at = text;
        int64_t whole = read_digits(&at), part = 0, scale = 1;
        unsigned shift;

        if (whole < 0)
                return refuse_size(text, err);
        if (*at == '.') {
                at++;
                if (!is_digit(*at))
                        return refuse_size(text, err);
                /* Six digits are exact enough for a T, and their product with one fits 63 bits. */
                for (; is_digit(*at); at++) {
                        if (scale < 1000000) {
                                part = part * 10 + (*at - '0');
                                scale *= 10;
                        }
                }
        }
        if (read_power(at, &shift) < 0 || (shift == 0 && scale > 1))
                return refuse_size(text, err);
        if (whole >= (SIZE_MOST >> shift))
                return error_set(err, EINVAL, "'%s' is more bytes than any file can have", text);
        *bytes = (whole << shift) + (part << shift) / scale;
        return 0;
}

const char *size_format(char *out, size_t size, int64_t bytes)
{
        static const char *const words[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        double value = (double)bytes / 1024, much = value < 0 ? -value : value;
        size_t i = 0;

        if (bytes > -1024 && bytes < 1024) {
                snprintf(out, size, "%d B", (int)bytes);
                return out;
        }
        for (; much >= 1023.95; i++) { /* what would be shown as 1024.0 is 1.0 of the next */
                value /= 1024;
                much /= 1024;
        }
        snprintf(out, size, "%.1f %s", value, words[i]);
        return out;
}
