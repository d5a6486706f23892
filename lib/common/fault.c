/* SPDX-License-Identifier: BSD-3-Clause */
/* fault: the points at which stint can be broken and what STINT_FAULT does there; every step of a save calls in. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "log.h"

#define FAULTS 16                          /* most that one setting can arm */
#define SETTING 1024                       /* longest setting */
#define PAUSE_LOOK_NS (2 * CLOCK_MS)       /* how often a paused process looks for its file */
#define PAUSE_MOST_NS (600 * CLOCK_SECOND) /* a test that is gone by then does not come back to remove it */

/* clang-format off */
const char *const fault_points[] = {
        "snapshot.before_copy", "snapshot.mid_copy", "snapshot.after_copy",
        "save.before_create", "save.after_create", "save.mid_write", "save.before_sync", "save.after_sync",
        "seal.before_write", "seal.after_write", "seal.after_sync",
        "commit.before_manifest", "commit.after_manifest", "commit.before_rename", "commit.after_rename",
        "best.before_link",
        "prune.before_retire", "prune.before_remove", "slot.before_keep", "slot.after_take",
        "restore.before_read", "restore.mid_read", "restore.after_read", "restore.before_use",
        "restore.before_copy", "restore.mid_copy", "restore.after_copy",
        "settle.before_verify", "settle.before_manifest", "settle.before_rename",
        "complete.before_done", "complete.after_done",
        "lease.after_take", "journal.after_start",
        NULL,
};
/* clang-format on */

enum action { FAULT_KILL, FAULT_PAUSE, FAULT_FAIL, FAULT_DELAY };

struct fault {
        const char *point; /* one of fault_points[] */
        enum action action;
        int code;         /* of FAULT_FAIL */
        int64_t delay_ns; /* of FAULT_DELAY */
        unsigned at;      /* it happens at this time, counted from 1 */
        atomic_uint reached;
};

enum state { UNREAD, NOTHING, ARMED };

static atomic_int state = UNREAD;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static struct fault faults[FAULTS]; /* written under `reading` before state says ARMED, then only its counters */
static int fault_count;

static const struct {
        const char *word;
        int code;
} codes[] = {
        {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EDQUOT", EDQUOT},
        {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"ESTALE", ESTALE},
};

static const char *find_point(const char *word)
{
        for (size_t i = 0; fault_points[i]; i++)
                if (strcmp(fault_points[i], word) == 0)
                        return fault_points[i];
        return NULL;
}

static int parse_code(const char *word, int *code, struct stint_error *err)
{
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
                if (strcmp(codes[i].word, word) == 0) {
                        *code = codes[i].code;
                        return 0;
                }
        }
        return error_set(err, EINVAL, "fail=%s: it can be ENOSPC, EIO, EDQUOT, ENOMEM, EACCES or ESTALE", word);
}

static int parse_action(char *word, struct fault *fault, struct stint_error *err)
{
        const char *dir = getenv("STINT_FAULT_DIR");

        if (strcmp(word, "kill") == 0) {
                fault->action = FAULT_KILL;
        } else if (strcmp(word, "pause") == 0) {
                fault->action = FAULT_PAUSE;
                if (!dir || !*dir)
                        return error_set(err, EINVAL, "pause needs STINT_FAULT_DIR, where it creates its file");
        } else if (strncmp(word, "fail=", 5) == 0) {
                fault->action = FAULT_FAIL;
                return parse_code(word + 5, &fault->code, err);
        } else if (strncmp(word, "delay=", 6) == 0) {
                fault->action = FAULT_DELAY;
                return duration_parse(word + 6, &fault->delay_ns, err);
        } else {
                return error_set(err, EINVAL, "'%s' is no action; there are kill, pause, fail=NAME and delay=DURATION",
                                 word);
        }
        return 0;
}

/* "@N": up to 9 digits, at least 1. */
static int parse_at(const char *word, unsigned *at, struct stint_error *err)
{
        size_t n = strspn(word, "0123456789");

        *at = n > 0 && n < 10 && word[n] == '\0' ? (unsigned)strtoul(word, NULL, 10) : 0;
        return *at ? 0 : error_set(err, EINVAL, "@%s: which time the point is reached is counted from 1", word);
}

/* POINT:ACTION[@N]; cuts the text into its words. */
static int parse_fault(char *text, struct fault *fault, struct stint_error *err)
{
        char *action = strchr(text, ':'), *at;

        if (!action)
                return error_set(err, EINVAL, "'%s' is not POINT:ACTION", text);
        *action++ = '\0';
        at = strchr(action, '@');
        if (at)
                *at++ = '\0';
        fault->point = find_point(text);
        if (!fault->point)
                return error_set(err, EINVAL, "there is no point '%s'; `stint doctor --faults` lists them", text);
        fault->at = 1;
        if (at && parse_at(at, &fault->at, err) < 0)
                return -1;
        atomic_store(&fault->reached, 0);
        return parse_action(action, fault, err);
}

/* Into faults[]; how many.  -1: none of them counts. */
static int parse_setting(const char *setting, struct stint_error *err)
{
        char text[SETTING], *rest = text, *one;
        int n = 0;

        if (strlen(setting) >= sizeof text)
                return error_set(err, EINVAL, "it is longer than %d bytes", SETTING - 1);
        memcpy(text, setting, strlen(setting) + 1);
        while ((one = strsep(&rest, ","))) {
                if (n == FAULTS)
                        return error_set(err, EINVAL, "it has more than %d faults", FAULTS);
                if (parse_fault(one, &faults[n], err) < 0)
                        return -1;
                n++;
        }
        return n;
}

/* The slow beginning: reads the environment once, by whichever thread comes first. */
static int read_setting(void)
{
        struct stint_error why = {0};
        const char *setting;
        int now;

        pthread_mutex_lock(&reading);
        now = atomic_load(&state);
        if (now == UNREAD) {
                /* secure_getenv: who runs a program with the rights of another cannot break it from outside. */
                setting = secure_getenv("STINT_FAULT");
                fault_count = setting && *setting ? parse_setting(setting, &why) : 0;
                if (fault_count < 0)
                        log_error("STINT_FAULT is not used: %s", why.text);
                now = fault_count > 0 ? ARMED : NOTHING;
                atomic_store(&state, now);
        }
        pthread_mutex_unlock(&reading);
        return now;
}

void fault_reset(void)
{
        pthread_mutex_lock(&reading);
        atomic_store(&state, UNREAD);
        pthread_mutex_unlock(&reading);
}

static void sleep_ns(int64_t ns)
{
        struct timespec left = {.tv_sec = ns / CLOCK_SECOND, .tv_nsec = ns % CLOCK_SECOND};

        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

/* The file appears under its name with its word in it: a test that watches the directory never sees it empty. */
static int create_pause_file(const char *path, const char *unfinished)
{
        static const char word[] = "reached\n";
        int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ssize_t written;

        if (fd < 0)
                return -1;
        written = write(fd, word, sizeof word - 1);
        if (close(fd) < 0 || written != (ssize_t)sizeof word - 1 || rename(unfinished, path) < 0) {
                unlink(unfinished);
                return -1;
        }
        return 0;
}

/*
 * Looks every 2 ms whether the file is still there.  inotify would wake at once, but takes one of the user's few
 * instances, sees nothing on some filesystems, and needs a descriptor in a program that may have none left: this is the
 * product.
 */
static void wait_for_test(const char *point)
{
        const char *dir = getenv("STINT_FAULT_DIR");
        char path[PATH_MAX], unfinished[PATH_MAX];
        int64_t until = clock_now() + PAUSE_MOST_NS;

        if (!dir || snprintf(path, sizeof path, "%s/%s.%d", dir, point, (int)getpid()) >= (int)sizeof path ||
            snprintf(unfinished, sizeof unfinished, "%s/.%s.%d", dir, point, (int)getpid()) >= (int)sizeof unfinished) {
                log_error("cannot pause at %s: STINT_FAULT_DIR is gone or too long", point);
                return;
        }
        if (create_pause_file(path, unfinished) < 0) {
                log_error("cannot pause at %s: %s: %s", point, path, strerror(errno));
                return;
        }
        while (access(path, F_OK) == 0) {
                if (clock_now() > until) {
                        log_error("paused at %s for 10 minutes; goes on although %s is still there", point, path);
                        return;
                }
                sleep_ns(PAUSE_LOOK_NS);
        }
}

static int act(const struct fault *fault)
{
        switch (fault->action) {
        case FAULT_KILL:
                kill(getpid(), SIGKILL);
                for (;;) /* another thread may be the one that takes the signal */
                        pause();
        case FAULT_PAUSE:
                wait_for_test(fault->point);
                return 0;
        case FAULT_FAIL:
                return fault->code;
        case FAULT_DELAY:
                sleep_ns(fault->delay_ns);
                return 0;
        }
        return 0;
}

int fault_point(const char *point)
{
        int now = atomic_load_explicit(&state, memory_order_relaxed), code = 0;
        const struct fault *due[FAULTS];
        int n = 0;

        if (now == UNREAD)
                now = read_setting();
        if (now != ARMED)
                return 0;
        atomic_thread_fence(memory_order_acquire);
        /* Every fault of this point counts this time before one acts: who pauses may be passed by another thread. */
        for (int i = 0; i < fault_count; i++)
                if (strcmp(faults[i].point, point) == 0 && atomic_fetch_add(&faults[i].reached, 1) + 1 == faults[i].at)
                        due[n++] = &faults[i];
        for (int i = 0; i < n; i++) {
                const int failed = act(due[i]);

                if (code == 0)
                        code = failed;
        }
        return code;
}
