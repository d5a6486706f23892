/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trainer: a training that does what it is told, and says how long that took.  dev/bench starts it, under `stint run` or
 * by itself, and speaks with it on a socket, a line there and a line of JSON back:
 *
 *      trainer BYTES TENSORS PATH       PATH: the socket; its first line is when this process began, and is ready
 *      trainer BYTES TENSORS --list     prints the sizes of the tensors, one a line, and ends
 *
 *      open MS                  stint_open, all attached, so long busy as one is that makes a model, stint_restore
 *      ranks RANK RANKS PATH    open is for several ranks, who agree by way of this file (together.h)
 *      steps MS                 safe points for so long, one every millisecond
 *      walk N                   so many safe points, which ranks make together
 *      save MARK MS             the state is marked, then safe points until a save was taken, at most so long
 *      program-save MARK        stint_save: waits until it landed
 *      loop MARK PAUSE_US       safe points until STINT_STOP, or SIGUSR1
 *      trigger N SOCKET         asks the `stint run` behind SOCKET for N saves, and looks when each reaches the program
 *      due                      waits until the control page asks for a save, and tells how late that is
 *      idle BATCHES CALLS       safe points with nothing to do, beside clock_gettime
 *      dump PATH, load PATH     the tensors one behind the other, as a program without stint saves and loads them
 *      copy WAY THREADS, write PATH fresh|over THREADS BLOCK, read PATH direct|cached THREADS BLOCK
 *                               the limits (limits.h)
 *      wipe, check MARK         the bytes of the state
 *      close, complete, quit
 *
 * Times are nanoseconds; points in time are of CLOCK_BOOTTIME, the same for all processes of this machine.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <stint.h>

#include "clock.h"
#include "limits.h"
#include "safepoint.h"
#include "state.h"
#include "together.h"
#include "trainer.h"

#define STEP_PAUSE_NS (1 * CLOCK_MS)

void pause_for(int64_t ns)
{
        const struct timespec t = { ns / CLOCK_SECOND, ns % CLOCK_SECOND };

        nanosleep(&t, NULL);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

void answer(struct trainer *t, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vfprintf(t->line, format, arguments);
        va_end(arguments);
        fputc('\n', t->line);
        fflush(t->line);
}

/* Texts of stint's have paths of the user in them: what JSON wants escaped is left out. */
void fail(struct trainer *t, const char *what, const char *why)
{
        char text[600];
        size_t i, n = 0;

        for (i = 0; why[i] && n + 1 < sizeof text; i++)
                if (why[i] != '"' && why[i] != '\\' && (unsigned char)why[i] >= ' ')
                        text[n++] = why[i];
        text[n] = '\0';
        answer(t, "{\"error\": \"%s: %s\"}", what, text);
}

static void answer_took(struct trainer *t, const char *what, int64_t took_ns, int direct)
{
        if (took_ns < 0)
                fail(t, what, strerror(errno));
        else
                answer(t, "{\"ns\": %" PRId64 ", \"direct\": %d}", took_ns, direct);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void attach_all(struct trainer *t)
{
        char name[64];
        size_t i;

        for (i = 0; i < t->state.n; i++) {
                snprintf(name, sizeof name, "model/layer%05zu/weight", i);
                stint_attach(t->stint, name, STINT_ARRAY(t->state.pieces[i].data, STINT_F32, t->state.pieces[i].bytes / 4));
        }
}

static void do_open(struct trainer *t, int64_t busy_ms)
{
        const int64_t begin_ns = clock_now();
        int64_t opened_ns, attached_ns, asked_ns, end_ns;
        struct stint_error err = { 0 };
        int restored;

        t->stint = stint_open(&t->options, &err);
        opened_ns = clock_now();
        attach_all(t);
        attached_ns = clock_now();
        t->step = 0;
        while ((asked_ns = clock_now()) < attached_ns + busy_ms * CLOCK_MS)
                ;
        restored = stint_restore(t->stint, &t->step);
        end_ns = clock_now();
        if (!t->stint || restored < 0 || !*stint_dir(t->stint)) {
                fail(t, "open", t->stint ? stint_why(t->stint) : err.text);
                return;
        }
        answer(t,
               "{\"restored\": %d, \"step\": %" PRId64 ", \"begin_ns\": %" PRId64 ", \"end_ns\": %" PRId64
               ", \"open_ns\": %" PRId64 ", \"attach_ns\": %" PRId64 ", \"restore_ns\": %" PRId64 "}",
               restored, t->step, begin_ns, end_ns, opened_ns - begin_ns, attached_ns - opened_ns, end_ns - asked_ns);
}

static void do_ranks(struct trainer *t, int rank, int ranks, const char *path)
{
        t->options.rank = rank;
        t->options.ranks = ranks;
        t->options.agree = together_open(path, rank, ranks);
        if (t->options.agree)
                answer(t, "{}");
        else
                fail(t, path, strerror(errno));
}

/* Safe points until so many were made, or until a time; the answer has the longest of them. */
static void do_steps(struct trainer *t, long steps, int64_t until_ns)
{
        int64_t begin_ns, longest_ns = 0;

        while ((begin_ns = clock_now()) < until_ns && steps-- > 0) {
                if (stint_step(t->stint, ++t->step) < 0) {
                        fail(t, "stint_step", stint_why(t->stint));
                        return;
                }
                if (clock_now() - begin_ns > longest_ns)
                        longest_ns = clock_now() - begin_ns;
                pause_for(STEP_PAUSE_NS);
        }
        answer(t, "{\"step\": %" PRId64 ", \"longest_ns\": %" PRId64 "}", t->step, longest_ns);
}

static void answer_saved(struct trainer *t, int go, int64_t begin_ns, int64_t end_ns)
{
        answer(t,
               "{\"go\": %d, \"step\": %" PRId64 ", \"begin_ns\": %" PRId64 ", \"end_ns\": %" PRId64
               ", \"stall_ns\": %" PRId64 "}",
               go, t->step, begin_ns, end_ns, end_ns - begin_ns);
}

static void do_save(struct trainer *t, uint32_t mark, int64_t ms)
{
        const int64_t until_ns = clock_now() + ms * CLOCK_MS;
        int64_t begin_ns;
        int go;

        state_mark(&t->state, mark);
        do {
                pause_for(STEP_PAUSE_NS);
                begin_ns = clock_now();
                go = stint_step(t->stint, ++t->step);
        } while (go == STINT_CONTINUE && begin_ns < until_ns);
        if (go <= 0)
                fail(t, "save", go < 0 ? stint_why(t->stint) : "no save was asked for in time");
        else
                answer_saved(t, go, begin_ns, clock_now());
}

static void do_program_save(struct trainer *t, uint32_t mark)
{
        int64_t begin_ns;
        int go;

        state_mark(&t->state, mark);
        begin_ns = clock_now();
        go = stint_save(t->stint, ++t->step);
        if (go < 0)
                fail(t, "stint_save", stint_why(t->stint));
        else
                answer_saved(t, go, begin_ns, clock_now());
}

static volatile sig_atomic_t signalled;

static void on_signal(int signal_number)
{
        (void)signal_number;
        signalled = 1;
}

/* Begin: when the safe point began that stopped it. */
static void do_loop(struct trainer *t, uint32_t mark, int64_t pause_us)
{
        int64_t begin_ns, first_ns = 0;
        int go;

        state_mark(&t->state, mark);
        do {
                if (!first_ns)
                        first_ns = clock_now();
                pause_for(pause_us * 1000);
                begin_ns = clock_now();
                go = stint_step(t->stint, ++t->step);
        } while (!signalled && (go == STINT_CONTINUE || go == STINT_SAVED));
        signalled = 0;
        if (go < 0)
                fail(t, "stint_step", stint_why(t->stint));
        else
                answer(t,
                       "{\"go\": %d, \"step\": %" PRId64 ", \"first_ns\": %" PRId64 ", \"begin_ns\": %" PRId64
                       ", \"end_ns\": %" PRId64 ", \"deadline_ns\": %" PRId64 "}",
                       go, t->step, first_ns, begin_ns, clock_now(),
                       t->stint ? atomic_load(&t->stint->session.page->deadline_ns) : CLOCK_NEVER);
}

/* ---- a program without stint ------------------------------------------------------------------------------------- */

static int write_all(const struct state *s, FILE *f)
{
        size_t i;

        for (i = 0; i < s->n; i++)
                if (fwrite(s->pieces[i].data, 1, s->pieces[i].bytes, f) != s->pieces[i].bytes)
                        return -1;
        return fflush(f) || fsync(fileno(f)) ? -1 : 0;
}

static int read_all(const struct state *s, FILE *f)
{
        size_t i;

        for (i = 0; i < s->n; i++)
                if (fread(s->pieces[i].data, 1, s->pieces[i].bytes, f) != s->pieces[i].bytes)
                        return -1;
        return 0;
}

static void do_file(struct trainer *t, const char *path, int reading)
{
        const int64_t begin_ns = clock_now();
        FILE *f = fopen(path, reading ? "re" : "we");
        int rc = f ? reading ? read_all(&t->state, f) : write_all(&t->state, f) : -1;

        if (f && fclose(f))
                rc = -1;
        answer_took(t, path, rc < 0 ? -1 : clock_now() - begin_ns, 0);
}

/* ---- the limits -------------------------------------------------------------------------------------------------- */

static int have_limits(struct trainer *t)
{
        if (t->limits.image)
                return 1;
        if (limits_open(&t->limits, &t->state) == 0)
                return 1;
        t->limits.image = NULL;
        fail(t, "memory for the limits", strerror(errno));
        return 0;
}

static void do_copy(struct trainer *t, const char *name, unsigned threads)
{
        int way;

        for (way = 0; way < LIMITS_WAYS && strcmp(name, limits_way_name(way)); way++)
                ;
        if (way == LIMITS_WAYS || !limits_has_way(way))
                fail(t, "copy", "this machine has no such way");
        else if (have_limits(t))
                answer_took(t, "copy", limits_copy(&t->limits, way, threads), 0);
}

static void do_io(struct trainer *t, struct limits_io *io, int reading)
{
        int64_t took_ns;

        if (io->block % 4096 || io->block == 0) {
                fail(t, io->path, "blocks are multiples of 4096 bytes");
                return;
        }
        if (!have_limits(t))
                return;
        took_ns = reading ? limits_read(&t->limits, io) : limits_write(&t->limits, io);
        answer_took(t, io->path, took_ns, io->direct);
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

static void do_close(struct trainer *t, int complete)
{
        const int64_t begin_ns = clock_now();
        const int rc = complete ? stint_complete(t->stint) : 0;

        if (rc < 0) {
                fail(t, "stint_complete", stint_why(t->stint));
                return;
        }
        stint_close(t->stint);
        t->stint = NULL;
        answer_took(t, "close", clock_now() - begin_ns, 0);
}

/* 0: that was the last one. */
static int obey(struct trainer *t, char *text)
{
        char what[32] = "", word[4096] = "", how[16] = "";
        long a = 0, b = 0;

        sscanf(text, "%31s %ld %ld", what, &a, &b);
        if (!strcmp(what, "quit"))
                return 0;
        if (!strcmp(what, "open"))
                do_open(t, a);
        else if (!strcmp(what, "steps"))
                do_steps(t, LONG_MAX, clock_now() + a * CLOCK_MS);
        else if (!strcmp(what, "walk"))
                do_steps(t, a, CLOCK_NEVER);
        else if (!strcmp(what, "save"))
                do_save(t, (uint32_t)a, b);
        else if (!strcmp(what, "program-save"))
                do_program_save(t, (uint32_t)a);
        else if (!strcmp(what, "loop"))
                do_loop(t, (uint32_t)a, b);
        else if (!strcmp(what, "due"))
                do_due(t);
        else if (!strcmp(what, "idle"))
                do_idle(t, a, b);
        else if (sscanf(text, "ranks %ld %ld %4095s", &a, &b, word) == 3)
                do_ranks(t, (int)a, (int)b, word);
        else if (sscanf(text, "trigger %ld %4095s", &a, word) == 2)
                do_trigger(t, a, word);
        else if (sscanf(text, "dump %4095s", word) == 1 || sscanf(text, "load %4095s", word) == 1)
                do_file(t, word, what[0] == 'l');
        else if (sscanf(text, "copy %15s %ld", how, &a) == 2)
                do_copy(t, how, (unsigned)a);
        else if (sscanf(text, "write %4095s %15s %ld %ld", word, how, &a, &b) == 4)
                do_io(t, &(struct limits_io){ word, (unsigned)a, (size_t)b, !strcmp(how, "fresh"), 0, 0 }, 0);
        else if (sscanf(text, "read %4095s %15s %ld %ld", word, how, &a, &b) == 4)
                do_io(t, &(struct limits_io){ word, (unsigned)a, (size_t)b, 0, !strcmp(how, "cached"), 0 }, 1);
        else if (!strcmp(what, "wipe"))
                state_wipe(&t->state), answer(t, "{}");
        else if (!strcmp(what, "check"))
                answer(t, "{\"wrong\": %zu}", state_check(&t->state, (uint32_t)a));
        else if (!strcmp(what, "close") || !strcmp(what, "complete"))
                do_close(t, what[1] == 'o');
        else
                fail(t, what, "no such thing to do");
        return 1;
}

static int list(const struct state *s)
{
        size_t i;

        for (i = 0; i < s->n; i++)
                printf("%zu\n", s->pieces[i].bytes);
        return 0;
}

/* 0, or -1 with errno. */
static int reach(struct trainer *t, const char *path)
{
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof to.sun_path) {
                errno = ENAMETOOLONG;
                return -1;
        }
        strcpy(to.sun_path, path);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
                return -1;
        t->words = fdopen(fd, "r");
        t->line = fdopen(dup(fd), "w");
        return t->words && t->line ? 0 : -1;
}

int main(int argc, char **argv)
{
        struct trainer t = { .options = STINT_OPTIONS };
        const int64_t began_ns = clock_now();
        char text[8192];

        if (argc != 4) {
                fprintf(stderr, "usage: trainer BYTES TENSORS SOCKET|--list\n");
                return 2;
        }
        if (state_plan(&t.state, strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10)) < 0) {
                perror("trainer: so many tensors of so many bytes");
                return 2;
        }
        if (!strcmp(argv[3], "--list")) {
                const int rc = list(&t.state);

                state_fini(&t.state);
                return rc;
        }
        signal(SIGPIPE, SIG_IGN);
        signal(SIGUSR1, on_signal);
        if (reach(&t, argv[3]) < 0 || state_make(&t.state) < 0) {
                perror("trainer");
                return 1;
        }
        answer(&t, "{\"began_ns\": %" PRId64 ", \"ready_ns\": %" PRId64 ", \"pid\": %d}", began_ns, clock_now(),
               (int)getpid());
        while (fgets(text, sizeof text, t.words) && obey(&t, text))
                ;
        if (t.stint)
                stint_close(t.stint);
        if (t.limits.image)
                limits_close(&t.limits);
        state_fini(&t.state);
        return 0;
}
