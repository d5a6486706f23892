/* SPDX-License-Identifier: GPL-2.0-or-later */
/* print: tables, JSON and the small formats of the verbs.  Every cmd_<verb>.c that shows something calls in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "log.h"
#include "print.h"

#define GAP 2    /* spaces between columns */
#define CELL 512 /* bytes of a cell that are shown */

struct print_table {
        const char *const *titles;
        size_t columns, rows, room;
        char **cells; /* rows * columns of them, owned */
        int failed;
};

/* Characters, not bytes: UTF-8 continuation bytes take no place. */
static size_t width(const char *text)
{
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

static const char *title(const struct print_table *t, size_t column)
{
        return t->titles[column] + (*t->titles[column] == '>');
}

struct print_table *print_table_new(const char *const *titles)
{
        struct print_table *t = calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->titles = titles;
        while (titles[t->columns])
                t->columns++;
        return t;
}

void print_row(struct print_table *t, const char *const *cells)
{
        char text[CELL];

        if (!t || t->failed)
                return;
        if (t->rows == t->room) {
                size_t room = t->room ? 2 * t->room : 16;
                char **more = realloc(t->cells, room * t->columns * sizeof *more);

                if (!more) {
                        t->failed = 1;
                        return;
                }
                t->cells = more;
                t->room = room;
        }
        for (size_t i = 0; i < t->columns; i++) {
                char *copy = strdup(cells[i] ? log_escape(text, sizeof text, cells[i]) : "-");

                t->cells[t->rows * t->columns + i] = copy;
                t->failed |= !copy;
        }
        t->rows++;
}

static void print_cell(FILE *out, const char *text, size_t wide, int right, int last)
{
        size_t n = width(text);
        int pad = (int)(wide > n ? wide - n : 0);

        if (right)
                fprintf(out, "%*s%s", pad, "", text);
        else
                fprintf(out, "%s%*s", text, last ? 0 : pad, "");
        fprintf(out, last ? "\n" : "%*s", GAP, "");
}

static size_t column_width(const struct print_table *t, size_t column)
{
        size_t wide = width(title(t, column));

        for (size_t row = 0; row < t->rows; row++) {
                size_t n = width(t->cells[row * t->columns + column]);

                if (n > wide)
                        wide = n;
        }
        return wide;
}

static void print_line(const struct print_table *t, FILE *out, const size_t *wide, size_t row, int titles)
{
        for (size_t i = 0; i < t->columns; i++)
                print_cell(out, titles ? title(t, i) : t->cells[row * t->columns + i], wide[i], *t->titles[i] == '>',
                           i + 1 == t->columns);
}

static void print_all(const struct print_table *t, FILE *out, size_t *wide)
{
        for (size_t i = 0; i < t->columns; i++)
                wide[i] = column_width(t, i);
        print_line(t, out, wide, 0, 1);
        for (size_t row = 0; row < t->rows; row++)
                print_line(t, out, wide, row, 0);
}

int print_table_end(struct print_table *t, FILE *out)
{
        size_t *wide;
        int failed;

        if (!t)
                return -1;
        wide = calloc(t->columns, sizeof *wide);
        failed = t->failed || !wide;
        if (!failed && t->rows)
                print_all(t, out, wide);
        for (size_t i = 0; i < t->rows * t->columns; i++)
                free(t->cells[i]);
        free(t->cells);
        free(wide);
        free(t);
        return failed ? -1 : 0;
}

int print_json(json_t *value, FILE *out, struct stint_error *err)
{
        int rc;

        if (!value)
                return error_set(err, ENOMEM, "the answer cannot be made into JSON");
        rc = json_dumpf(value, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        json_decref(value);
        if (rc || fputc('\n', out) == EOF || fflush(out))
                return error_set(err, EIO, "the answer cannot be written");
        return 0;
}

json_t *print_string(const char *text)
{
        json_t *string = json_string(text);
        size_t size = 4 * strlen(text) + 1;
        char *escaped = string ? NULL : malloc(size);

        if (escaped)
                string = json_string(log_escape(escaped, size, text));
        free(escaped);
        return string;
}

const char *print_age(char *out, size_t size, int64_t then_ns, int64_t now_ns)
{
        if (then_ns <= 0)
                return duration_format(out, size, CLOCK_NEVER);
        return duration_format(out, size, now_ns > then_ns ? now_ns - then_ns : 0);
}

const char *print_size(char *out, size_t size, int64_t bytes)
{
        if (bytes >= 0)
                return size_format(out, size, bytes);
        snprintf(out, size, "-");
        return out;
}

static int coloured(FILE *out)
{
        const char *terminal = getenv("TERM"), *no = getenv("NO_COLOR");

        return isatty(fileno(out)) && terminal && strcmp(terminal, "dumb") && !(no && *no);
}

void print_coloured(FILE *out, enum print_colour colour, const char *text)
{
        static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31m"};
        int on = colour != PRINT_PLAIN && coloured(out);

        fprintf(out, "%s%s%s", on ? codes[colour] : "", text, on ? "\033[0m" : "");
}

int64_t print_time_read(const char *text)
{
        struct tm tm = {0};
        int ms, end = 0;

        if (sscanf(text, "%d-%d-%dT%d:%d:%d.%3dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &ms, &end) != 7 ||
            !end || text[end])
                return 0;
        /* What clock_format writes; anything larger would not fit into nanoseconds. */
        if (tm.tm_year < 1970 || tm.tm_year > 2200 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
            tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60 || ms < 0)
                return 0;
        tm.tm_year -= 1900;
        tm.tm_mon--;
        return (int64_t)timegm(&tm) * CLOCK_SECOND + ms * CLOCK_MS;
}

const char *print_member_text(const json_t *object, const char *name, const char *otherwise)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : otherwise;
}

int64_t print_member_int(const json_t *object, const char *name, int64_t otherwise)
{
        const json_t *value = json_object_get(object, name);

        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

double print_member_real(const json_t *object, const char *name, double otherwise)
{
        const json_t *value = json_object_get(object, name);

        return json_is_number(value) ? json_number_value(value) : otherwise;
}
