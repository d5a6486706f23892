/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * failing: a library for LD_PRELOAD that makes one system call fail, the n-th of those that change something on disk or
 * make memory, in one program. tests/sweep/fail-at-call.sh loads it into everything that `stint run` starts.
 *
 *   STINT_FAILING=PROGRAM:N:HOW   in processes whose executable has this name; N counts over all of them, in the order
 * in which they call, and 0 fails none. HOW is EIO, ENOSPC, EDQUOT, EINTR or short; with a '+' behind it the later
 * calls fail too. A call that cannot fail like this gives its turn to the next STINT_FAILING_DIR=DIR         calls on
 * files elsewhere are not counted; memory counts wherever it is STINT_FAILING_COUNT=FILE      16 bytes, zero at first:
 * how many calls were counted, and how many failed STINT_FAILING_LOG=FILE        a line "N CALL PATH" is appended for
 * each call that failed; with N = 0 for each counted
 *
 * The calls are made directly, without glibc's functions of these names, which are the ones that stand here. What glibc
 * calls from within itself (fopen, opendir) does not come by.
 */
/* Both names of each function are defined below, which the headers would make one. */
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT (-1) /* instead of an errno value: a part of the bytes is written */
#define BLOCK 4096 /* a short write past the page cache must end at a multiple of this */

struct shared {
        _Atomic uint64_t calls, failed;
};

static struct shared *shared; /* NULL: this process is not the one, and everything goes through */
static const char *dir, *log_path;
static uint64_t nth;
static int how, lasting;

/* ---- the setting ------------------------------------------------------------------------------------------------- */

static const struct {
        const char *word;
        int code;
} ways[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR}, {"short", SHORT},
};

/* Ends the process: a sweep that fails nothing because of a misspelled setting must not pass. */
static void bad_setting(const char *what)
{
        fprintf(stderr, "failing: %s cannot be used\n", what);
        _exit(99);
}

static void read_how(char *word)
{
        size_t i, n = strlen(word);

        lasting = n > 0 && word[n - 1] == '+';
        if (lasting)
                word[n - 1] = '\0';
        for (i = 0; i < sizeof ways / sizeof *ways; i++)
                if (strcmp(word, ways[i].word) == 0)
                        how = ways[i].code;
        if (how == 0)
                bad_setting("STINT_FAILING");
}

static int is_program(const char *name)
{
        char exe[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        const char *slash;

        if (n < 0)
                return 0;
        exe[n] = '\0';
        slash = strrchr(exe, '/');
        return slash && strcmp(slash + 1, name) == 0;
}

static struct shared *map_count(void)
{
        const char *path = getenv("STINT_FAILING_COUNT");
        long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1, at;

        if (fd < 0)
                bad_setting("STINT_FAILING_COUNT");
        at = syscall(SYS_mmap, NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
        syscall(SYS_close, fd);
        if (at == -1)
                bad_setting("STINT_FAILING_COUNT");
        return (struct shared *)at;
}

__attribute__((constructor)) static void set_up(void)
{
        const char *given = getenv("STINT_FAILING");
        char setting[128], *n, *word;

        if (!given)
                return;
        snprintf(setting, sizeof setting, "%s", given);
        n = strchr(setting, ':');
        word = n ? strchr(n + 1, ':') : NULL;
        dir = getenv("STINT_FAILING_DIR");
        log_path = getenv("STINT_FAILING_LOG");
        if (!word || !dir || !log_path)
                bad_setting("STINT_FAILING");
        *n = *word = '\0';
        if (!is_program(setting))
                return;
        nth = strtoull(n + 1, NULL, 10);
        read_how(word + 1);
        shared = map_count();
}

/* ---- which calls count ------------------------------------------------------------------------------------------- */

static void note(uint64_t number, const char *call, const char *path)
{
        char line[PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)number, call, path);
        long fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

        syscall(SYS_write, fd, line, n);
        syscall(SYS_close, fd);
}

static int is_below(const char *path)
{
        const size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* What a descriptor stands for, "" when that is nothing with a name. */
static void name_of(int fd, char *path, size_t size)
{
        char link[64];
        ssize_t n;

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, size - 1);
        path[n > 0 ? n : 0] = '\0';
}

/* Counts a call.  What it must do: 0 to go on, an errno value, or SHORT.  legal: it can be interrupted, or do half. */
static int turn(const char *call, const char *path, int can_interrupt, int can_be_short)
{
        const uint64_t number = atomic_fetch_add(&shared->calls, 1) + 1;
        uint64_t none = 0;

        if (nth == 0)
                note(number, call, path);
        if (nth == 0 || number < nth || (how == EINTR && !can_interrupt) || (how == SHORT && !can_be_short))
                return 0;
        if (!lasting && !atomic_compare_exchange_strong(&shared->failed, &none, 1))
                return 0;
        if (lasting)
                atomic_fetch_add(&shared->failed, 1);
        note(number, call, path);
        return how;
}

static int path_turn(const char *call, const char *path, int can_interrupt)
{
        return shared && is_below(path) ? turn(call, path, can_interrupt, 0) : 0;
}

/* errno survives the look at what fd is. */
static int fd_turn(const char *call, int fd, int can_interrupt, int can_be_short)
{
        const int before = errno;
        char path[PATH_MAX];

        if (!shared)
                return 0;
        name_of(fd, path, sizeof path);
        errno = before;
        return is_below(path) ? turn(call, path, can_interrupt, can_be_short) : 0;
}

static int fail(int code)
{
        errno = code;
        return -1;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int open_call(const char *call, int at, const char *path, int flags, va_list rest)
{
        const int creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
        const mode_t mode = creates ? va_arg(rest, mode_t) : 0;
        const int code = creates ? path_turn(call, path, 1) : 0;

        return code ? fail(code) : (int)syscall(SYS_openat, at, path, flags, mode);
}

#define OPEN(name) \
        int name(const char *path, int flags, ...) \
        { \
                va_list rest; \
                int rc; \
 \
                va_start(rest, flags); \
                rc = open_call("open", AT_FDCWD, path, flags, rest); \
                va_end(rest); \
                return rc; \
        }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
        int name(int at, const char *path, int flags, ...) \
        { \
                va_list rest; \
                int rc; \
 \
                va_start(rest, flags); \
                rc = open_call("openat", at, path, flags, rest); \
                va_end(rest); \
                return rc; \
        }
OPENAT(openat)
OPENAT(openat64)

/* As many bytes as a short write takes of n. */
static size_t some_of(size_t n)
{
        return n >= 2 * BLOCK ? n / 2 / BLOCK * BLOCK : n / 2;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
        const int code = fd_turn("write", fd, 1, n > 1);

        if (code > 0)
                return fail(code);
        return syscall(SYS_write, fd, bytes, code == SHORT ? some_of(n) : n);
}

#define PWRITE(name) \
        ssize_t name(int fd, const void *bytes, size_t n, off_t at) \
        { \
                const int code = fd_turn("pwrite", fd, 1, n > 1); \
 \
                if (code > 0) \
                        return fail(code); \
                return syscall(SYS_pwrite64, fd, bytes, code == SHORT ? some_of(n) : n, at); \
        }
PWRITE(pwrite)
PWRITE(pwrite64)

int fsync(int fd)
{
        const int code = fd_turn("fsync", fd, 1, 0);

        return code ? fail(code) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
        const int code = fd_turn("fdatasync", fd, 1, 0);

        return code ? fail(code) : (int)syscall(SYS_fdatasync, fd);
}

#define FTRUNCATE(name) \
        int name(int fd, off_t n) \
        { \
                const int code = fd_turn("ftruncate", fd, 1, 0); \
 \
                return code ? fail(code) : (int)syscall(SYS_ftruncate, fd, n); \
        }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define FALLOCATE(name) \
        int name(int fd, int mode, off_t at, off_t n) \
        { \
                const int code = fd_turn("fallocate", fd, 1, 0); \
 \
                return code ? fail(code) : (int)syscall(SYS_fallocate, fd, mode, at, n); \
        }
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

/* Linux has closed the descriptor whatever close(2) answers. */
int close(int fd)
{
        const int code = fd_turn("close", fd, 1, 0);
        const int rc = (int)syscall(SYS_close, fd);

        return code && rc == 0 ? fail(code) : rc;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
        const int code = path_turn("renameat2", to, 0);

        return code ? fail(code) : (int)syscall(SYS_renameat2, at, from, to_at, to, flags);
}

int rename(const char *from, const char *to)
{
        const int code = path_turn("rename", to, 0);

        return code ? fail(code) : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to)
{
        const int code = path_turn("link", to, 0);

        return code ? fail(code) : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int symlink(const char *target, const char *path)
{
        const int code = path_turn("symlink", path, 0);

        return code ? fail(code) : (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
}

int mkdir(const char *path, mode_t mode)
{
        const int code = path_turn("mkdir", path, 0);

        return code ? fail(code) : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlink(const char *path)
{
        const int code = path_turn("unlink", path, 0);

        return code ? fail(code) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* Within a directory that is removed, names are relative to it. */
int unlinkat(int at, const char *path, int flags)
{
        const int code =
                path[0] == '/' || at == AT_FDCWD ? path_turn("unlinkat", path, 0) : fd_turn("unlinkat", at, 0, 0);

        return code ? fail(code) : (int)syscall(SYS_unlinkat, at, path, flags);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* The kernel has one answer for want of memory, so it is ENOMEM whatever was asked for. */
int memfd_create(const char *name, unsigned flags)
{
        if (shared && turn("memfd_create", name, 0, 0))
                return fail(ENOMEM);
        return (int)syscall(SYS_memfd_create, name, flags);
}

static void *mmap_call(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
        const int before = errno;
        char path[PATH_MAX];

        if (shared && fd >= 0) {
                name_of(fd, path, sizeof path);
                errno = before;
                if (strncmp(path, "/memfd:", 7) == 0 && turn("mmap", path, 0, 0)) {
                        errno = ENOMEM;
                        return MAP_FAILED;
                }
        }
        return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

#define MMAP(name) \
        void *name(void *at, size_t n, int prot, int flags, int fd, off_t offset) \
        { \
                return mmap_call(at, n, prot, flags, fd, offset); \
        }
MMAP(mmap)
MMAP(mmap64)
