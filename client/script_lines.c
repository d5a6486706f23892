/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * script_lines: reads a batch script as far as it can be read without a shell.  cmd_submit.c calls in, to compare what
 * the script asks of Slurm with what a chain of stints needs.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "script_lines.h"

#define MAGIC "#SBATCH"

/* One word that was taken off a line; plain: the shell would not put anything else in its place. */
struct word {
        char *text;
        int plain;
};

/* ---- words ----------------------------------------------------------------------------------------------------- */

/* What is between double quotes: a backslash keeps only these characters from their meaning. */
static const char *in_quotes(const char *at, const char *end, char **out, int *plain)
{
        for (; at < end && *at != '"'; at++) {
                if (*at == '\\' && at + 1 < end && strchr("\"\\$`", at[1]))
                        at++;
                else if (*at == '$' || *at == '`')
                        *plain = 0;
                *(*out)++ = *at;
        }
        return at;
}

static const char *in_apostrophes(const char *at, const char *end, char **out)
{
        while (at < end && *at != '\'')
                *(*out)++ = *at++;
        return at;
}

/*
 * Takes the next word off [*at, end): 1, and word->text is to be freed; 0 at the end of the line or before a comment;
 * -1 for a quote without its end, or no memory (errno).
 */
static int next_word(const char **at, const char *end, struct word *word)
{
        const char *c = *at;
        char *out;

        while (c < end && isspace((unsigned char)*c))
                c++;
        *at = end;
        if (c == end || *c == '#')
                return 0;
        out = word->text = malloc((size_t)(end - c) + 1);
        word->plain = 1;
        if (!out)
                return errno = ENOMEM, -1;
        for (; c < end && !isspace((unsigned char)*c); c++) {
                const char quote = *c;

                if (quote == '"')
                        c = in_quotes(c + 1, end, &out, &word->plain);
                else if (quote == '\'')
                        c = in_apostrophes(c + 1, end, &out);
                else if (quote == '\\' && c + 1 < end)
                        *out++ = *++c;
                else
                        *out++ = quote;
                if (quote != '"' && quote != '\'' && strchr("$`*?[~&;|<>()", quote))
                        word->plain = 0;
                if (c >= end) {
                        free(word->text);
                        return errno = EINVAL, -1;
                }
        }
        *out = '\0';
        *at = c;
        return 1;
}

/* ---- #SBATCH lines --------------------------------------------------------------------------------------------- */

static int add_word(struct script_lines *s, char *text, struct stint_error *err)
{
        char **more = realloc(s->words, (s->n + 2) * sizeof *more);

        if (!more) {
                free(text);
                return error_set(err, ENOMEM, "no memory for the lines of the script");
        }
        s->words = more;
        s->words[s->n++] = text;
        s->words[s->n] = NULL;
        return 0;
}

static int read_option_line(struct script_lines *s, const char *at, const char *end, int number,
                            struct stint_error *err)
{
        struct word word;
        int rc;

        while ((rc = next_word(&at, end, &word)) > 0)
                if (add_word(s, word.text, err))
                        return -1;
        if (rc == 0)
                return 0;
        return errno == EINVAL ? error_set(err, EINVAL, "line %d of the script: a quote is not closed", number)
                               : error_set(err, ENOMEM, "no memory for the lines of the script");
}

/* ---- `stint run` ----------------------------------------------------------------------------------------------- */

static int ends_with_stint(const char *text)
{
        const char *slash = strrchr(text, '/');

        return strcmp(slash ? slash + 1 : text, "stint") == 0;
}

static void keep(struct script_lines *s, char **field, const char *text, int plain)
{
        if (!plain)
                s->hidden = 1;
        else if (!*field)
                *field = strdup(text);
}

/* An option of the first `stint run`: "--stint-dir=DIR", or "--stint-dir" and then its value. */
static void take_option(struct script_lines *s, const struct word *word, const char **wanted)
{
        static const char *const names[] = {"--stint-dir", "--stint-name"};
        char **fields[] = {&s->dir, &s->name};

        for (int i = 0; i < 2; i++) {
                size_t n = strlen(names[i]);

                if (*wanted == names[i])
                        keep(s, fields[i], word->text, word->plain);
                else if (!strncmp(word->text, names[i], n) && word->text[n] == '=')
                        keep(s, fields[i], word->text + n + 1, word->plain);
                else if (!strcmp(word->text, names[i])) {
                        *wanted = names[i];
                        return;
                } else
                        continue;
                break;
        }
        *wanted = NULL;
}

/* Looks for `stint run` among the words of a command line, and at what its options say up to "--". */
static void read_command(struct script_lines *s, const char *at, const char *end)
{
        const char *wanted = NULL;
        int stint = 0, inside = 0;
        struct word word;

        while (next_word(&at, end, &word) > 0) {
                if (inside && s->runs == 1)
                        take_option(s, &word, &wanted);
                if (inside && !strcmp(word.text, "--"))
                        inside = 0;
                if (stint && !inside && !strcmp(word.text, "run")) {
                        inside = s->has_run = 1;
                        s->runs++;
                }
                stint = ends_with_stint(word.text);
                free(word.text);
        }
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static int is_blank(const char *at, const char *end)
{
        while (at < end && isspace((unsigned char)*at))
                at++;
        return at == end;
}

static const char *line_end(const char *at, const char *end)
{
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        return newline ? newline : end;
}

/* sbatch looks for its lines up to the first one that is neither a comment nor blank. */
static int read_options(struct script_lines *s, const char *text, const char *end, struct stint_error *err)
{
        const size_t n = strlen(MAGIC);
        const char *stop;
        int number = 1;

        for (const char *at = text; at < end; at = stop + 1, number++) {
                stop = line_end(at, end);
                if ((size_t)(stop - at) > n && !strncmp(at, MAGIC, n) && isspace((unsigned char)at[n])) {
                        if (read_option_line(s, at + n, stop, number, err))
                                return -1;
                } else if (at < stop && *at != '#' && !is_blank(at, stop)) {
                        break;
                }
        }
        return 0;
}

/* A line that ends with a backslash goes on in the next one. */
static int read_commands(struct script_lines *s, const char *text, const char *end, struct stint_error *err)
{
        char *joined = malloc((size_t)(end - text) + 1), *out = joined;
        const char *stop;

        if (!joined)
                return error_set(err, ENOMEM, "no memory for the lines of the script");
        for (const char *at = text; at < end; at++) {
                if (*at == '\\' && at + 1 < end && at[1] == '\n')
                        at++;
                else
                        *out++ = *at;
        }
        for (const char *at = joined; at < out; at = stop + 1) {
                stop = line_end(at, out);
                read_command(s, at, stop);
        }
        free(joined);
        return 0;
}

int script_lines_read(struct script_lines *s, const char *text, size_t n, struct stint_error *err)
{
        *s = (struct script_lines){.is_script = n >= 2 && text[0] == '#' && text[1] == '!'};
        s->words = calloc(1, sizeof *s->words);
        if (!s->words)
                return error_set(err, ENOMEM, "no memory for the lines of the script");
        if (!read_options(s, text, text + n, err) && !read_commands(s, text, text + n, err))
                return 0;
        script_lines_fini(s);
        return -1;
}

void script_lines_fini(struct script_lines *s)
{
        for (size_t i = 0; i < s->n; i++)
                free(s->words[i]);
        free(s->words);
        free(s->dir);
        free(s->name);
        *s = (struct script_lines){0};
}
