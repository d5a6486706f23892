/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flags: command lines by a table.  options.c reads those of `stint run` with it, every other verb its own few. */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "duration.h"
#include "flags.h"
#include "nearest.h"

int flag_switch(void *field, const char *text, struct stint_error *err)
{
        (void)text;
        (void)err;
        *(int *)field = 1;
        return 0;
}

int flag_text(void *field, const char *text, struct stint_error *err)
{
        if (!*text)
                return error_set(err, EINVAL, "it is empty");
        *(const char **)field = text;
        return 0;
}

int flag_duration(void *field, const char *text, struct stint_error *err)
{
        int64_t ns;

        if (duration_parse(text, &ns, err))
                return -1;
        *(int64_t *)field = ns;
        return 0;
}

static int read_int(void *field, const char *text, int least, struct stint_error *err)
{
        char *end;
        long value;

        errno = 0;
        value = strtol(text, &end, 10);
        if (end == text || *end || errno || value < least || value > INT_MAX)
                return error_set(err, EINVAL, "'%s' is not a whole number of at least %d", text, least);
        *(int *)field = (int)value;
        return 0;
}

int flag_positive(void *field, const char *text, struct stint_error *err)
{
        return read_int(field, text, 1, err);
}

int flag_count(void *field, const char *text, struct stint_error *err)
{
        return read_int(field, text, 0, err);
}

static int unknown(const struct flag *table, const char *name, struct stint_error *err)
{
        struct nearest near;

        nearest_begin(&near, name);
        for (; table->name; table++)
                if (table->help)
                        nearest_see(&near, table->name);
        nearest_see(&near, "--help");
        if (near.best)
                return error_set(err, EINVAL, "there is no option %s; did you mean %s?", name, near.best);
        return error_set(err, EINVAL, "there is no option %s; --help lists those there are", name);
}

/* Reads the option at argv[0]; *used becomes how many words it took. */
static int read_one(const struct flag *table, void *target, char **argv, int *used, struct stint_error *err)
{
        char name[64];
        const char *equals = strchr(argv[0], '='), *text = equals ? equals + 1 : NULL;
        size_t n = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);
        const struct flag *f = table;

        if (n >= sizeof name)
                n = sizeof name - 1;
        memcpy(name, argv[0], n);
        name[n] = '\0';
        while (f->name && strcmp(f->name, name))
                f++;
        if (!f->name)
                return unknown(table, name, err);
        *used = 1;
        if (!f->value && text)
                return error_set(err, EINVAL, "%s takes no value", name);
        if (f->value && !text) {
                text = argv[1];
                *used = 2;
                if (!text)
                        return error_set(err, EINVAL, "%s needs a value: %s=%s", name, name, f->value);
        }
        if (f->read((char *)target + f->offset, text, err))
                return error_wrap(err, "%s", name);
        return 0;
}

int flags_read(const struct flag *table, void *target, char **argv, enum flags_words where, char ***words,
               struct stint_error *err)
{
        char **out = argv;

        *words = argv;
        while (*argv && strcmp(*argv, "--")) {
                int used = 1;

                if (!strcmp(*argv, "--help") || !strcmp(*argv, "-h"))
                        return 1;
                if (argv[0][0] != '-' || !argv[0][1]) {
                        if (where == FLAGS_FIRST)
                                break;
                        *out++ = *argv;
                } else if (read_one(table, target, argv, &used, err)) {
                        return -1;
                }
                argv += used;
        }
        if (*argv && !strcmp(*argv, "--"))
                argv++;
        if (where == FLAGS_FIRST) {
                *words = argv;
                return 0;
        }
        while (*argv)
                *out++ = *argv++;
        *out = NULL;
        return 0;
}

/* "  --stint-keep=N        TEXT", the text broken into lines that stand below each other. */
static void help_line(FILE *out, const char *name, const char *value, const char *help)
{
        enum { column = 30, width = 90 };
        int at = fprintf(out, "  %s%s%s", name, value ? "=" : "", value ? value : "");

        if (at > column - 2) {
                fputc('\n', out);
                at = 0;
        }
        at += fprintf(out, "%*s", column - at, "");
        while (*help) {
                int word = (int)strcspn(help, " ");

                if (at > column && at + 1 + word > column + width)
                        at = fprintf(out, "\n%*s", column, "") - 1;
                at += fprintf(out, "%s%.*s", at > column ? " " : "", word, help);
                help += word;
                help += strspn(help, " ");
        }
        fputc('\n', out);
}

void flags_help(const struct flag *table, FILE *out)
{
        for (; table->name; table++) {
                if (!table->help)
                        continue;
                if (table->heading)
                        fprintf(out, "\n%s\n", table->heading);
                help_line(out, table->name, table->value, table->help);
        }
        help_line(out, "--help", NULL, "this text");
}
