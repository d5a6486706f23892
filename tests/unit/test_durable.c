/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_durable: what is on disk after each call, and above all after those that failed. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "durable.h"
#include "suite.h"

static char scratch[512];
static struct stint_error err;

static void set_up(void)
{
        const char *tmp = getenv("TMPDIR");

        snprintf(scratch, sizeof scratch, "%s/stint-test-durable.XXXXXX", tmp ? tmp : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(scratch));
        signal(SIGXFSZ, SIG_IGN); /* a file beyond RLIMIT_FSIZE is then EFBIG, as it is in stint's programs */
        umask(022);
        err = (struct stint_error){0};
}

static void tear_down(void)
{
        char command[600];

        /* Not by durable_remove_tree, which is what is tested here. */
        snprintf(command, sizeof command, "rm -rf '%s'", scratch);
        ck_assert_int_eq(system(command), 0);
}

static const char *in(const char *name)
{
        static char paths[4][4096];
        static int next;

        next = (next + 1) % 4;
        snprintf(paths[next], sizeof paths[next], "%s/%s", scratch, name);
        return paths[next];
}

static void make_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");

        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

static void holds(const char *path, const char *text)
{
        char buffer[256] = "";
        FILE *f = fopen(path, "r");

        ck_assert_msg(f != NULL, "%s is not there", path);
        buffer[fread(buffer, 1, sizeof buffer - 1, f)] = '\0';
        fclose(f);
        ck_assert_str_eq(buffer, text);
}

static int entries(const char *path)
{
        DIR *dir = opendir(path);
        int n = 0;

        ck_assert_ptr_nonnull(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n - 2;
}

static int exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static void limit_files_to(rlim_t bytes)
{
        struct rlimit limit;

        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(bytes_written_at_an_offset_are_read_back_from_there)
{
        char back[6] = "";
        int fd = open(in("f"), O_RDWR | O_CREAT, 0600);

        ck_assert_int_eq(durable_pwrite(fd, "hello", 5, 1000, "f", &err), 0);
        ck_assert_int_eq(durable_pread(fd, back, 5, 1000, "f", &err), 0);
        ck_assert_str_eq(back, "hello");
        ck_assert_int_eq(durable_pwrite(fd, NULL, 0, 0, "f", &err), 0);
        ck_assert_int_eq(durable_pread(fd, NULL, 0, 0, "f", &err), 0);
        ck_assert_int_eq(durable_sync(fd, "f", &err), 0);
        close(fd);
}
END_TEST

START_TEST(a_full_device_is_enospc_with_the_path)
{
        int fd = open("/dev/full", O_WRONLY);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(durable_pwrite(fd, "x", 1, 0, "step-1/rank.h5", &err), -1);
        ck_assert_int_eq(err.code, ENOSPC);
        ck_assert_ptr_nonnull(strstr(err.text, "step-1/rank.h5"));
        ck_assert_ptr_nonnull(strstr(err.text, "No space left on device"));
        close(fd);
}
END_TEST

START_TEST(a_write_that_the_kernel_cut_short_goes_on_and_then_tells)
{
        static char bytes[10000];
        struct stat st;
        int fd = open(in("f"), O_RDWR | O_CREAT, 0600), rc;

        limit_files_to(4096);
        rc = durable_pwrite(fd, bytes, sizeof bytes, 0, "f", &err);
        limit_files_to(RLIM_INFINITY);
        ck_assert_int_eq(rc, -1);
        ck_assert_int_eq(err.code, EFBIG);
        ck_assert_ptr_nonnull(strstr(err.text, "offset 4096"));
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_int_eq(st.st_size, 4096);
        close(fd);
}
END_TEST

START_TEST(a_file_that_ends_too_early_is_eio)
{
        char back[10];
        int fd;

        make_file(in("f"), "12345");
        fd = open(in("f"), O_RDONLY);
        ck_assert_int_eq(durable_pread(fd, back, 6, 0, "f", &err), -1);
        ck_assert_int_eq(err.code, EIO);
        ck_assert_int_eq(durable_pread(fd, back, 1, 99, "f", &err), -1);
        ck_assert_int_eq(err.code, EIO);
        close(fd);
        ck_assert_int_eq(durable_pread(fd, back, 1, 0, "f", &err), -1);
        ck_assert_int_eq(err.code, EBADF);
}
END_TEST

START_TEST(a_sync_that_fails_is_told)
{
        int fd = open("/dev/full", O_WRONLY);

        ck_assert_int_eq(durable_sync(fd, "full", &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        close(fd);
        ck_assert_int_eq(durable_sync(-1, "closed", &err), -1);
        ck_assert_int_eq(err.code, EBADF);
        ck_assert_int_eq(durable_sync_dir(scratch, &err), 0);
        ck_assert_int_eq(durable_sync_dir(in("missing"), &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        make_file(in("f"), "");
        ck_assert_int_eq(durable_sync_dir(in("f"), &err), -1);
        ck_assert_int_eq(err.code, ENOTDIR);
}
END_TEST

START_TEST(replace_makes_a_new_file_with_its_mode)
{
        struct stat st;

        ck_assert_int_eq(durable_replace(in("f"), "new\n", 4, 0666, &err), 0);
        holds(in("f"), "new\n");
        ck_assert_int_eq(stat(in("f"), &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0644);
        ck_assert_int_eq(durable_replace(in("g"), "", 0, 0600, &err), 0);
        holds(in("g"), "");
        ck_assert_int_eq(stat(in("g"), &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_int_eq(entries(scratch), 2);
}
END_TEST

START_TEST(replace_takes_the_place_of_an_old_file)
{
        make_file(in("f"), "something longer than what comes");
        ck_assert_int_eq(durable_replace(in("f"), "new", 3, 0600, &err), 0);
        holds(in("f"), "new");
        ck_assert_int_eq(entries(scratch), 1);
}
END_TEST

START_TEST(replace_works_beside_and_at_the_root_of_paths)
{
        char here[4096];

        ck_assert_ptr_nonnull(getcwd(here, sizeof here));
        ck_assert_int_eq(chdir(scratch), 0);
        ck_assert_int_eq(durable_replace("plain", "x", 1, 0600, &err), 0);
        ck_assert_int_eq(durable_rename("plain", "other", &err), 0);
        holds("other", "x");
        ck_assert_int_eq(chdir(here), 0);
}
END_TEST

START_TEST(replace_never_writes_through_a_symlink)
{
        make_file(in("target"), "precious");
        ck_assert_int_eq(symlink(in("target"), in("f")), 0);
        ck_assert_int_eq(durable_replace(in("f"), "new", 3, 0600, &err), 0);
        holds(in("target"), "precious");
        holds(in("f"), "new");
}
END_TEST

START_TEST(a_replace_that_cannot_be_written_leaves_the_old_file_and_nothing_else)
{
        static char bytes[10000];
        int rc;

        make_file(in("f"), "old");
        limit_files_to(4096);
        rc = durable_replace(in("f"), bytes, sizeof bytes, 0600, &err);
        limit_files_to(RLIM_INFINITY);
        ck_assert_int_eq(rc, -1);
        ck_assert_int_eq(err.code, EFBIG);
        holds(in("f"), "old");
        ck_assert_int_eq(entries(scratch), 1);
}
END_TEST

START_TEST(a_replace_that_cannot_be_renamed_leaves_nothing_behind)
{
        ck_assert_int_eq(mkdir(in("d"), 0700), 0);
        ck_assert_int_eq(durable_replace(in("d"), "x", 1, 0600, &err), -1);
        ck_assert_int_eq(err.code, EISDIR);
        ck_assert_int_eq(entries(scratch), 1);
        ck_assert_int_eq(entries(in("d")), 0);
}
END_TEST

START_TEST(a_replace_that_has_no_place_is_told)
{
        char name[256];

        make_file(in("f"), "old");
        ck_assert_int_eq(durable_replace(in("f/below"), "x", 1, 0600, &err), -1);
        ck_assert_int_eq(err.code, ENOTDIR);
        ck_assert_int_eq(durable_replace(in("missing/x"), "x", 1, 0600, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        memset(name, 'n', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        ck_assert_int_eq(durable_replace(in(name), "x", 1, 0600, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(entries(scratch), 1);
}
END_TEST

START_TEST(a_path_longer_than_any_is_told_and_never_overflows)
{
        char path[6000];

        memset(path, '/', sizeof path - 1);
        path[sizeof path - 1] = '\0';
        memcpy(path, "/tmp", 4);
        path[sizeof path - 2] = 'x';
        ck_assert_int_eq(durable_replace(path, "x", 1, 0600, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(durable_rename(path, "/tmp/y", &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(durable_remove_tree(path, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
}
END_TEST

/* What a killed process of this pid would have left behind: the temporary names from..to-1. */
static void leave_behind(int from, int to)
{
        char name[100];

        for (int i = from; i < to; i++) {
                snprintf(name, sizeof name, "f.%d.%d.tmp", (int)getpid(), i);
                make_file(in(name), "left behind");
        }
}

START_TEST(files_that_a_killed_process_left_are_neither_used_nor_lost)
{
        char name[100];
        unsigned next;
        int found = 0;

        /* Which number comes next is not known from outside; the sentence of a failure has the one before. */
        ck_assert_int_eq(durable_replace(in("missing/x"), "x", 1, 0600, &err), -1);
        ck_assert_int_eq(sscanf(strstr(err.text, "missing/x."), "missing/x.%*d.%u.tmp", &next), 1);
        leave_behind((int)next + 1, (int)next + 11);
        ck_assert_int_eq(durable_replace(in("f"), "new", 3, 0600, &err), 0);
        holds(in("f"), "new");
        for (unsigned i = next + 1; i < next + 11; i++) {
                snprintf(name, sizeof name, "f.%d.%u.tmp", (int)getpid(), i);
                holds(in(name), "left behind");
                found++;
        }
        ck_assert_int_eq(entries(scratch), found + 1);
        leave_behind((int)next + 11, (int)next + 200);
        ck_assert_int_eq(durable_replace(in("f"), "newer", 5, 0600, &err), -1);
        ck_assert_int_eq(err.code, EEXIST);
        holds(in("f"), "new");
}
END_TEST

START_TEST(a_reader_sees_the_old_or_the_new_and_never_a_mixture)
{
        static char old[20000], new[20000];
        pid_t child;
        int status, looks = 0;

        memset(old, 'o', sizeof old);
        memset(new, 'n', sizeof new);
        ck_assert_int_eq(durable_replace(in("f"), old, sizeof old, 0600, &err), 0);
        child = fork();
        if (child == 0) {
                for (int i = 0; i < 40; i++)
                        if (durable_replace(in("f"), i % 2 ? old : new, sizeof old, 0600, NULL) < 0)
                                _exit(1);
                _exit(0);
        }
        do {
                char *bytes;
                size_t n;

                ck_assert_int_eq(durable_read(in("f"), sizeof old, &bytes, &n, &err), 0);
                ck_assert_uint_eq(n, sizeof old);
                ck_assert(memcmp(bytes, old, n) == 0 || memcmp(bytes, new, n) == 0);
                free(bytes);
                looks++;
        } while (waitpid(child, &status, WNOHANG) == 0);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ck_assert_int_gt(looks, 0);
}
END_TEST

START_TEST(read_gives_the_whole_file_with_a_nul_behind)
{
        char *bytes;
        size_t n;

        make_file(in("f"), "12345");
        ck_assert_int_eq(durable_read(in("f"), 5, &bytes, &n, &err), 0);
        ck_assert_uint_eq(n, 5);
        ck_assert_str_eq(bytes, "12345");
        free(bytes);
        make_file(in("f"), "");
        ck_assert_int_eq(durable_read(in("f"), 0, &bytes, &n, &err), 0);
        ck_assert_uint_eq(n, 0);
        ck_assert_str_eq(bytes, "");
        free(bytes);
}
END_TEST

START_TEST(read_believes_the_end_of_a_file_and_not_its_size)
{
        char *bytes;
        size_t n;

        ck_assert_int_eq(durable_read("/proc/self/maps", 1 << 20, &bytes, &n, &err), 0); /* its size is 0 */
        ck_assert_uint_gt(n, 100);
        ck_assert_uint_eq(strlen(bytes), n);
        free(bytes);
        ck_assert_int_eq(durable_read("/proc/self/maps", 100, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, EFBIG);
}
END_TEST

START_TEST(what_cannot_be_read_is_refused_without_waiting)
{
        char *bytes = NULL;
        size_t n = 7;

        make_file(in("f"), "123456");
        ck_assert_int_eq(durable_read(in("f"), 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, EFBIG);
        ck_assert_int_eq(durable_read(in("missing"), 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_int_eq(durable_read(in("f/below"), 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, ENOTDIR);
        ck_assert_int_eq(durable_read(scratch, 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, EISDIR);
        ck_assert_int_eq(mkfifo(in("fifo"), 0600), 0);
        ck_assert_int_eq(durable_read(in("fifo"), 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(symlink("loop", in("loop")), 0);
        ck_assert_int_eq(durable_read(in("loop"), 5, &bytes, &n, &err), -1);
        ck_assert_int_eq(err.code, ELOOP);
        ck_assert_ptr_null(bytes);
        ck_assert_uint_eq(n, 7);
}
END_TEST

static void rename_never_replaces(void)
{
        make_file(in("f"), "mine");
        make_file(in("taken"), "theirs");
        ck_assert_int_eq(mkdir(in("dir"), 0700), 0);
        ck_assert_int_eq(mkdir(in("empty"), 0700), 0);
        ck_assert_int_eq(symlink("nowhere", in("dangling")), 0);
        ck_assert_int_eq(durable_rename(in("f"), in("taken"), &err), -1);
        ck_assert_int_eq(err.code, EEXIST);
        ck_assert_int_eq(durable_rename(in("f"), in("dangling"), &err), -1);
        ck_assert_int_eq(err.code, EEXIST);
        ck_assert_int_eq(durable_rename(in("dir"), in("empty"), &err), -1); /* which rename(2) would replace */
        ck_assert_int_eq(err.code, EEXIST);
        holds(in("f"), "mine");
        holds(in("taken"), "theirs");
        ck_assert_int_eq(entries(scratch), 5);
        ck_assert_int_eq(durable_rename(in("dir"), in("moved"), &err), 0);
        ck_assert(exists(in("moved")) && !exists(in("dir")));
        ck_assert_int_eq(durable_rename(in("missing"), in("x"), &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_int_eq(durable_rename(in("f"), in("taken/x"), &err), -1);
        ck_assert_int_eq(err.code, ENOTDIR);
}

START_TEST(rename_never_replaces_anything)
{
        rename_never_replaces();
}
END_TEST

/* From now on this process has no renameat2 with RENAME_NOREPLACE, as on NFS. */
static int forbid_noreplace(void)
{
        struct sock_filter program[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RENAME_NOREPLACE, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) < 0)
                return -1;
        return renameat2(AT_FDCWD, in("missing"), AT_FDCWD, in("x"), RENAME_NOREPLACE) < 0 && errno == EINVAL ? 0 : -1;
}

/* The child tells by its exit status, since an assertion of Check belongs to the process that Check started. */
static int rename_without_noreplace(void)
{
        if (forbid_noreplace() < 0)
                return 77;
        make_file(in("f"), "mine");
        make_file(in("taken"), "theirs");
        mkdir(in("dir"), 0700);
        mkdir(in("empty"), 0700);
        if (symlink("nowhere", in("dangling")) < 0)
                return 1;
        if (durable_rename(in("f"), in("taken"), &err) == 0 || err.code != EEXIST)
                return 2;
        if (durable_rename(in("f"), in("dangling"), &err) == 0 || err.code != EEXIST)
                return 3;
        if (durable_rename(in("dir"), in("empty"), &err) == 0 || err.code != EEXIST)
                return 4;
        if (durable_rename(in("dir"), in("moved"), &err) < 0 || !exists(in("moved")) || exists(in("dir")))
                return 5;
        if (durable_rename(in("missing"), in("x"), &err) == 0 || err.code != ENOENT)
                return 6;
        return exists(in("f")) ? 0 : 7;
}

START_TEST(rename_never_replaces_anything_where_the_filesystem_cannot_promise_it)
{
        pid_t child = fork();
        int status;

        if (child == 0)
                _exit(rename_without_noreplace());
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x", status);
}
END_TEST

START_TEST(remove_takes_a_directory_with_everything_in_it)
{
        char name[64];

        ck_assert_int_eq(mkdir(in("d"), 0700), 0);
        ck_assert_int_eq(mkdir(in("d/e"), 0700), 0);
        ck_assert_int_eq(mkdir(in("d/e/f"), 0700), 0);
        ck_assert_int_eq(mkfifo(in("d/e/fifo"), 0600), 0);
        ck_assert_int_eq(symlink("nowhere", in("d/e/f/dangling")), 0);
        for (int i = 0; i < 500; i++) {
                snprintf(name, sizeof name, "d/%s%d", i % 3 ? "" : "e/f/", i);
                make_file(in(name), "x");
        }
        make_file(in("beside"), "stays");
        ck_assert_int_eq(durable_remove_tree(in("d"), &err), 0);
        ck_assert(!exists(in("d")));
        holds(in("beside"), "stays");
}
END_TEST

START_TEST(remove_of_what_is_not_there_is_a_success)
{
        ck_assert_int_eq(durable_remove_tree(in("missing"), &err), 0);
        ck_assert_int_eq(durable_remove_tree(in("missing/below"), &err), 0);
}
END_TEST

START_TEST(remove_never_follows_a_symlink)
{
        ck_assert_int_eq(mkdir(in("outside"), 0700), 0);
        make_file(in("outside/precious"), "stays");
        ck_assert_int_eq(mkdir(in("d"), 0700), 0);
        ck_assert_int_eq(symlink(in("outside"), in("d/dir")), 0);
        ck_assert_int_eq(symlink(in("outside/precious"), in("d/file")), 0);
        ck_assert_int_eq(durable_remove_tree(in("d"), &err), 0);
        ck_assert(!exists(in("d")));
        holds(in("outside/precious"), "stays");

        ck_assert_int_eq(symlink(in("outside"), in("link")), 0);
        ck_assert_int_eq(durable_remove_tree(in("link"), &err), -1);
        ck_assert(err.code == ENOTDIR || err.code == ELOOP);
        ck_assert(exists(in("link")));
        holds(in("outside/precious"), "stays");
}
END_TEST

START_TEST(remove_refuses_what_is_no_directory)
{
        make_file(in("f"), "stays");
        ck_assert_int_eq(durable_remove_tree(in("f"), &err), -1);
        ck_assert_int_eq(err.code, ENOTDIR);
        holds(in("f"), "stays");
}
END_TEST

START_TEST(remove_refuses_what_is_too_deep_to_be_ours)
{
        char path[256] = "d";

        ck_assert_int_eq(mkdir(in(path), 0700), 0);
        for (int i = 0; i < 40; i++) {
                strcat(path, "/d");
                ck_assert_int_eq(mkdir(in(path), 0700), 0);
        }
        ck_assert_int_eq(durable_remove_tree(in("d"), &err), -1);
        ck_assert_int_eq(err.code, ELOOP);
        ck_assert(exists(in(path)));
}
END_TEST

START_TEST(remove_tells_what_it_may_not_remove)
{
        int status;
        pid_t child;

        ck_assert_int_eq(mkdir(in("d"), 0755), 0);
        make_file(in("d/f"), "stays");
        ck_assert_int_eq(chmod(in("d"), 0555), 0);
        ck_assert_int_eq(chmod(scratch, 0755), 0);
        child = fork();
        if (child == 0) { /* root may remove anything, so this one is not root */
                if (geteuid() == 0 && setuid(65534) < 0)
                        _exit(2);
                _exit(durable_remove_tree(in("d"), &err) == -1 && err.code == EACCES && strstr(err.text, "/d") ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %#x", status);
        holds(in("d/f"), "stays");
        ck_assert_int_eq(chmod(in("d"), 0755), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "durable");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, bytes_written_at_an_offset_are_read_back_from_there);
        tcase_add_test(tests, a_full_device_is_enospc_with_the_path);
        tcase_add_test(tests, a_write_that_the_kernel_cut_short_goes_on_and_then_tells);
        tcase_add_test(tests, a_file_that_ends_too_early_is_eio);
        tcase_add_test(tests, a_sync_that_fails_is_told);
        tcase_add_test(tests, replace_makes_a_new_file_with_its_mode);
        tcase_add_test(tests, replace_takes_the_place_of_an_old_file);
        tcase_add_test(tests, replace_works_beside_and_at_the_root_of_paths);
        tcase_add_test(tests, replace_never_writes_through_a_symlink);
        tcase_add_test(tests, a_replace_that_cannot_be_written_leaves_the_old_file_and_nothing_else);
        tcase_add_test(tests, a_replace_that_cannot_be_renamed_leaves_nothing_behind);
        tcase_add_test(tests, a_replace_that_has_no_place_is_told);
        tcase_add_test(tests, a_path_longer_than_any_is_told_and_never_overflows);
        tcase_add_test(tests, files_that_a_killed_process_left_are_neither_used_nor_lost);
        tcase_add_test(tests, a_reader_sees_the_old_or_the_new_and_never_a_mixture);
        tcase_add_test(tests, read_gives_the_whole_file_with_a_nul_behind);
        tcase_add_test(tests, read_believes_the_end_of_a_file_and_not_its_size);
        tcase_add_test(tests, what_cannot_be_read_is_refused_without_waiting);
        tcase_add_test(tests, rename_never_replaces_anything);
        tcase_add_test(tests, rename_never_replaces_anything_where_the_filesystem_cannot_promise_it);
        tcase_add_test(tests, remove_takes_a_directory_with_everything_in_it);
        tcase_add_test(tests, remove_of_what_is_not_there_is_a_success);
        tcase_add_test(tests, remove_never_follows_a_symlink);
        tcase_add_test(tests, remove_refuses_what_is_no_directory);
        tcase_add_test(tests, remove_refuses_what_is_too_deep_to_be_ours);
        tcase_add_test(tests, remove_tells_what_it_may_not_remove);
}

SUITE_MAIN("durable", add_tests)
