/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sbatch_words: reads the options of a line that is meant for sbatch, from the command line of `stint submit` and from
 * the #SBATCH lines of a script.  cmd_submit.c, cmd_resume.c and submission.c call in.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sbatch_words.h"

/* How an option takes its value: not at all, always (attached or as the next word), only attached ("--nice=5"). */
enum takes { NOTHING, VALUE, ATTACHED };

struct known {
        const char *name;
        char letter;
        enum takes takes;
};

/* sbatch(1), and what its later versions added.  Plugins of a site may add more; those are unknown here. */
static const struct known table[] = {
        {"account", 'A', VALUE}, {"acctg-freq", 0, VALUE}, {"array", 'a', VALUE}, {"batch", 0, VALUE},
        {"bb", 0, VALUE}, {"bbf", 0, VALUE}, {"begin", 'b', VALUE}, {"chdir", 'D', VALUE},
        {"cluster-constraint", 0, VALUE}, {"clusters", 'M', VALUE}, {"comment", 0, VALUE},
        {"consolidate-segments", 0, NOTHING}, {"constraint", 'C', VALUE}, {"container", 0, VALUE},
        {"container-id", 0, VALUE}, {"contiguous", 0, NOTHING}, {"core-spec", 'S', VALUE},
        {"cores-per-socket", 0, VALUE}, {"cpu-freq", 0, VALUE}, {"cpus-per-gpu", 0, VALUE},
        {"cpus-per-task", 'c', VALUE}, {"deadline", 0, VALUE}, {"delay-boot", 0, VALUE}, {"dependency", 'd', VALUE},
        {"distribution", 'm', VALUE}, {"error", 'e', VALUE}, {"exclude", 'x', VALUE}, {"exclusive", 0, ATTACHED},
        {"export", 0, VALUE}, {"export-file", 0, VALUE}, {"extra", 0, VALUE}, {"extra-node-info", 'B', VALUE},
        {"get-user-env", 0, ATTACHED}, {"gid", 0, VALUE}, {"gpu-bind", 0, VALUE}, {"gpu-freq", 0, VALUE},
        {"gpus", 'G', VALUE}, {"gpus-per-node", 0, VALUE}, {"gpus-per-socket", 0, VALUE}, {"gpus-per-task", 0, VALUE},
        {"gres", 0, VALUE}, {"gres-flags", 0, VALUE}, {"help", 'h', NOTHING}, {"hint", 0, VALUE}, {"hold", 'H', NOTHING},
        {"ignore-pbs", 0, NOTHING}, {"input", 'i', VALUE}, {"job-name", 'J', VALUE}, {"kill-on-invalid-dep", 0, VALUE},
        {"licenses", 'L', VALUE}, {"mail-type", 0, VALUE}, {"mail-user", 0, VALUE}, {"mcs-label", 0, VALUE},
        {"mem", 0, VALUE}, {"mem-bind", 0, VALUE}, {"mem-per-cpu", 0, VALUE}, {"mem-per-gpu", 0, VALUE},
        {"mincpus", 0, VALUE}, {"network", 0, VALUE}, {"nice", 0, ATTACHED}, {"no-kill", 'k', ATTACHED},
        {"no-requeue", 0, NOTHING}, {"nodefile", 'F', VALUE}, {"nodelist", 'w', VALUE}, {"nodes", 'N', VALUE},
        {"ntasks", 'n', VALUE}, {"ntasks-per-core", 0, VALUE}, {"ntasks-per-gpu", 0, VALUE},
        {"ntasks-per-node", 0, VALUE}, {"ntasks-per-socket", 0, VALUE}, {"oom-kill-step", 0, ATTACHED},
        {"open-mode", 0, VALUE}, {"output", 'o', VALUE}, {"overcommit", 'O', NOTHING}, {"oversubscribe", 's', NOTHING},
        {"parsable", 0, NOTHING}, {"partition", 'p', VALUE}, {"power", 0, VALUE}, {"prefer", 0, VALUE},
        {"priority", 0, VALUE}, {"profile", 0, VALUE}, {"propagate", 0, ATTACHED}, {"qos", 'q', VALUE},
        {"quiet", 'Q', NOTHING}, {"reboot", 0, NOTHING}, {"requeue", 0, NOTHING}, {"reservation", 0, VALUE},
        {"resources", 0, VALUE}, {"segment", 0, VALUE}, {"signal", 0, VALUE}, {"sockets-per-node", 0, VALUE},
        {"spread-job", 0, NOTHING}, {"spread-segments", 0, NOTHING}, {"stepmgr", 0, NOTHING}, {"switches", 0, VALUE},
        {"tasks-per-node", 0, VALUE}, {"test-only", 0, NOTHING}, {"thread-spec", 0, VALUE},
        {"threads-per-core", 0, VALUE}, {"time", 't', VALUE}, {"time-min", 0, VALUE}, {"tmp", 0, VALUE},
        {"tres-bind", 0, VALUE}, {"tres-per-task", 0, VALUE}, {"uid", 0, VALUE}, {"usage", 0, NOTHING},
        {"use-min-nodes", 0, NOTHING}, {"verbose", 'v', NOTHING}, {"version", 'V', NOTHING}, {"wait", 'W', NOTHING},
        {"wait-all-nodes", 0, VALUE}, {"wckey", 0, VALUE}, {"wrap", 0, VALUE}, {"x11", 0, ATTACHED},
        {"stint-dir", 0, VALUE}, {"stint-name", 0, VALUE}, {"stint-mode", 0, VALUE}, {"stint-anywhere", 0, NOTHING},
};
#define KNOWN (sizeof table / sizeof *table)

/* ---- the table ------------------------------------------------------------------------------------------------- */

/* getopt_long(3) takes an abbreviation that only one option begins with; ours are written out. */
static const struct known *by_name(const char *name, size_t n)
{
        const struct known *one = NULL;

        for (size_t i = 0; i < KNOWN; i++) {
                if (strncmp(table[i].name, name, n))
                        continue;
                if (strlen(table[i].name) == n)
                        return &table[i];
                if (one)
                        return NULL;
                one = &table[i];
        }
        return one && strncmp(one->name, "stint-", 6) ? one : NULL;
}

static const struct known *by_letter(char letter)
{
        for (size_t i = 0; i < KNOWN; i++)
                if (table[i].letter == letter)
                        return &table[i];
        return NULL;
}

static int add(struct sbatch_words *w, const char *name, size_t n, const char *value, int first, int words,
               struct stint_error *err)
{
        struct sbatch_option *more = realloc(w->options, (w->n + 1) * sizeof *more);
        struct sbatch_option o = {.first = first, .words = words};

        if (!more)
                return error_set(err, ENOMEM, "no memory for the options of sbatch");
        w->options = more;
        o.name = strndup(name, n);
        o.value = value ? strdup(value) : NULL;
        o.ours = !strncmp(name, "stint-", 6);
        if (!o.name || (value && !o.value)) {
                free(o.name);
                free(o.value);
                return error_set(err, ENOMEM, "no memory for the options of sbatch");
        }
        w->options[w->n++] = o;
        return 0;
}

/* ---- one option ------------------------------------------------------------------------------------------------ */

static int needs_value(const char *option, struct stint_error *err)
{
        return error_set(err, EINVAL, "%s needs a value", option);
}

static int unknown(const char *word, const char *next, struct stint_error *err)
{
        return error_set(err, EINVAL,
                         "%s is no option of sbatch that stint knows, so '%s' may be its value or the script: write "
                         "%s=VALUE, or -- before the script",
                         word, next, word);
}

/* "--name", "--name=value", "--name value".  Answers how many words it took, -1 with err. */
static int read_long(struct sbatch_words *w, char *const *words, int at, struct stint_error *err)
{
        const char *word = words[at], *name = word + 2, *equals = strchr(name, '='), *next = words[at + 1];
        size_t n = equals ? (size_t)(equals - name) : strlen(name);
        const struct known *k = by_name(name, n);
        int used = 1;

        if (!k && !strncmp(name, "stint-", 6))
                return error_set(err, EINVAL, "there is no option %.*s; --help lists those there are", (int)n + 2, word);
        if (!k && !equals && next && *next != '-' && *next)
                return unknown(word, next, err);
        if (k && k->takes == NOTHING && equals)
                return error_set(err, EINVAL, "--%s takes no value", k->name);
        if (k && k->takes == VALUE && !equals) {
                if (!next)
                        return needs_value(word, err);
                used = 2;
        }
        if (add(w, k ? k->name : name, k ? strlen(k->name) : n, equals ? equals + 1 : used == 2 ? next : NULL, at, used,
                err))
                return -1;
        return used;
}

/* "-N2", "-N 2", "-HQ", "-Hp main". */
static int read_letters(struct sbatch_words *w, char *const *words, int at, struct stint_error *err)
{
        for (const char *c = words[at] + 1; *c; c++) {
                const struct known *k = by_letter(*c);
                const char *value = NULL;
                int used = 1;

                if (!k)
                        return error_set(err, EINVAL, "-%c in '%s' is no option of sbatch that stint knows", *c,
                                         words[at]);
                if (k->takes == VALUE && !c[1]) {
                        value = words[at + 1];
                        used = 2;
                        if (!value)
                                return needs_value(words[at], err);
                } else if (k->takes != NOTHING && c[1]) {
                        value = c + 1;
                }
                if (add(w, k->name, strlen(k->name), value, at, used, err))
                        return -1;
                if (value)
                        return used;
        }
        return 1;
}

static int is_option(const char *word)
{
        return word[0] == '-' && word[1] != '\0';
}

static int read_all(struct sbatch_words *w, char *const *words, struct stint_error *err)
{
        int at = 0;

        while (words[at]) {
                int used;

                if (!strcmp(words[at], ":")) {
                        at++;
                        continue;
                }
                if (!is_option(words[at]))
                        break;
                if (!strcmp(words[at], "--")) {
                        at++;
                        break;
                }
                used = words[at][1] == '-' ? read_long(w, words, at, err) : read_letters(w, words, at, err);
                if (used < 0)
                        return -1;
                at += used;
        }
        w->script = at;
        return 0;
}

int sbatch_words_read(struct sbatch_words *w, char *const *words, struct stint_error *err)
{
        *w = (struct sbatch_words){0};
        if (!read_all(w, words, err))
                return 0;
        sbatch_words_fini(w);
        return -1;
}

/* ---- what was read --------------------------------------------------------------------------------------------- */

const struct sbatch_option *sbatch_words_find(const struct sbatch_words *w, const char *name)
{
        for (size_t i = w->n; i-- > 0;)
                if (!strcmp(w->options[i].name, name))
                        return &w->options[i];
        return NULL;
}

static int is_for_once(const struct sbatch_option *o)
{
        static const char *const once[] = {"begin", "dependency", "hold", "parsable", "quiet", "test-only", "wait"};

        for (size_t i = 0; i < sizeof once / sizeof *once; i++)
                if (!strcmp(o->name, once[i]))
                        return 1;
        return o->ours;
}

char **sbatch_words_again(const struct sbatch_words *w)
{
        char **line = calloc(w->n + 1, sizeof *line);
        size_t n = 0;

        for (size_t i = 0; line && i < w->n; i++) {
                const struct sbatch_option *o = &w->options[i];

                if (is_for_once(o))
                        continue;
                if (asprintf(&line[n], "--%s%s%s", o->name, o->value ? "=" : "", o->value ? o->value : "") < 0) {
                        line[n] = NULL;
                        sbatch_words_free_line(line);
                        return NULL;
                }
                n++;
        }
        return line;
}

void sbatch_words_free_line(char **line)
{
        for (char **word = line; word && *word; word++)
                free(*word);
        free(line);
}

void sbatch_words_fini(struct sbatch_words *w)
{
        for (size_t i = 0; i < w->n; i++) {
                free(w->options[i].name);
                free(w->options[i].value);
        }
        free(w->options);
        *w = (struct sbatch_words){0};
}

/* ---- arrays ---------------------------------------------------------------------------------------------------- */

/* A number as Slurm takes it here: digits, and not so many that it could not be one. */
static int read_number(const char **text, long *value)
{
        char *end;

        if (!isdigit((unsigned char)**text))
                return -1;
        *value = strtol(*text, &end, 10);
        if (end - *text > 9)
                return -1;
        *text = end;
        return 0;
}

/* "7", "0-3", "10-20:5". */
static int read_range(const char **text, long *from, long *to, long *by)
{
        if (read_number(text, from))
                return -1;
        *to = *from;
        *by = 1;
        if (**text == '-' && ((*text)++, read_number(text, to)))
                return -1;
        if (**text == ':' && ((*text)++, read_number(text, by)))
                return -1;
        return *to >= *from && *by > 0 ? 0 : -1;
}

int sbatch_array_read(const char *text, int *out, int most)
{
        int n = 0;

        for (;; text++) {
                long from, to, by;

                if (read_range(&text, &from, &to, &by))
                        return -1;
                for (long i = from; i <= to; i += by, n++)
                        if (n < most)
                                out[n] = (int)i;
                if (*text != ',')
                        break;
        }
        if (*text == '%')
                return isdigit((unsigned char)text[1]) && text[1 + strspn(text + 1, "0123456789")] == '\0' ? n : -1;
        return *text == '\0' ? n : -1;
}
