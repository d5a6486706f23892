/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * intruder: what an ordinary user can do to sockets that are not his.  The stories in tests/security run it beside somebody
 * else's training and look at what became of both.  A target is @NAME for an abstract socket, or a path.
 *
 *   intruder names PREFIX            abstract names that begin so, from /proc/net/unix, which everybody may read
 *   intruder says TARGET             every type of message, right and wrong, each on a connection of its own; on a path
 *                                    also after a message that is right there.  Prints how often it was heard how
 *   intruder descriptors TARGET      the same with descriptors of all kinds beside a right message, up to 253
 *   intruder hold TARGET N           N connections that say nothing; prints how many are open still after a moment, again
 *                                    when the last is closed, and keeps them until then or until it is told to end
 *   intruder churn TARGET WORD       until it is told to end, again and again: connect (and close), junk (what is no
 *                                    message, and close), hello (and close), jobs (one agent whose job begins and ends),
 *                                    deaf (requests whose answers are never read), memory (asked for, and close)
 *   intruder heir TARGET             prints its process id and waits for a line; then it connects and ends, and a child
 *                                    with that connection asks for the memory of the job that its parent was in
 *   intruder squat TARGET...         listens on each of them, and prints who comes and what is said.  It answers as stintd
 *                                    would, and orders a drain
 *
 * SIGTERM tells it to end; the last line then says how often it did what it did.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "deadline.h"
#include "wire.h"

#define MOST_FDS 253      /* SCM_MAX_FD of the kernel */
#define PATIENCE_MS 3000  /* for an answer; a stranger's patience, not a promise */
#define TYPES 256

static volatile sig_atomic_t told_to_end;

static void on_term(int number)
{
        (void)number;
        told_to_end = 1;
}

static void raise_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static socklen_t address_of(const char *target, struct sockaddr_un *address)
{
        const int abstract = target[0] == '@';
        const char *name = target + abstract;
        size_t n = strlen(name);

        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (n + 1 > sizeof address->sun_path) {
                fprintf(stderr, "intruder: '%s' is too long\n", target);
                exit(2);
        }
        memcpy(address->sun_path + abstract, name, n);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)abstract + n);
}

static int knock(const char *target)
{
        struct sockaddr_un address;
        socklen_t size = address_of(target, &address);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int code;

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) == 0)
                return fd;
        code = errno;
        close(fd);
        errno = code;
        return -1;
}

/* Waits while the other end has no room, or is being started again. */
static int knock_patiently(const char *target)
{
        const int64_t until_ns = clock_now() + 20 * CLOCK_SECOND;
        int fd;

        while ((fd = knock(target)) < 0 && (errno == EAGAIN || errno == ECONNREFUSED || errno == ENOENT) &&
               clock_now() < until_ns && !told_to_end)
                poll(NULL, 0, 1);
        if (fd < 0 && !told_to_end) {
                printf("cannot connect to %s: %s\n", target, strerror(errno));
                exit(1);
        }
        return fd;
}

static int put(int fd, const void *bytes, size_t n, const int *fds, int n_fds)
{
        char control[CMSG_SPACE(sizeof(int) * MOST_FDS)] = { 0 };
        struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
        struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
        struct cmsghdr *c;

        if (n_fds > 0) {
                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n_fds);
        }
        return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* ---- what comes back --------------------------------------------------------------------------------------------- */

struct tally {
        int said, refused, closed, silent;
        int answers[TYPES];
};

static int is_refusal(const struct wire_header *h)
{
        return h->type == WIRE_REFUSED || h->type == WIRE_DAEMON_REFUSED;
}

/* Listens until the connection is closed, or nothing was heard for as long as patience lasts. */
static void hear(int fd, struct tally *t)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        const struct wire_header *h = (const void *)bytes;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int refused = 0;
        ssize_t n;

        for (;;) {
                if (poll(&p, 1, PATIENCE_MS) <= 0) {
                        t->silent++;
                        return;
                }
                n = recv(fd, bytes, sizeof bytes, 0);
                if (n <= 0)
                        break;
                if (is_refusal(h)) {
                        refused = 1;
                } else {
                        t->answers[h->type % TYPES]++;
                        return;
                }
        }
        if (refused)
                t->refused++;
        else
                t->closed++;
}

static void print_tally(const struct tally *t)
{
        int type;

        printf("said %d, refused %d, closed %d, silent %d, answered", t->said, t->refused, t->closed, t->silent);
        for (type = 0; type < TYPES; type++)
                if (t->answers[type])
                        printf(" %s", wire_name((unsigned)type));
        printf(".\n");
}

/* ---- says -------------------------------------------------------------------------------------------------------- */

static void make(unsigned char *bytes, unsigned type, size_t size, unsigned version)
{
        struct wire_header h = { .size = (uint32_t)size, .version = (uint16_t)version, .type = (uint16_t)type };

        memset(bytes, 0, 2 * WIRE_MOST);
        memcpy(bytes, &h, sizeof h);
}

/* One connection, on which the first message may be one that is right. */
static void say(const char *target, unsigned first, const void *bytes, size_t n, struct tally *t)
{
        unsigned char right[2 * WIRE_MOST];
        struct wire_daemon_hello *hello = (void *)right;
        struct wire_daemon_request *request = (void *)right;
        struct pollfd p = { .events = POLLIN };
        int fd = knock_patiently(target);

        if (first) {
                make(right, first, wire_size(first), WIRE_VERSION);
                if (first == WIRE_DAEMON_HELLO)
                        hello->oldest = hello->newest = WIRE_VERSION;
                else
                        request->what = DAEMON_LIST;
                put(fd, right, wire_size(first), NULL, 0);
                p.fd = fd;
                if (poll(&p, 1, PATIENCE_MS) > 0)
                        recv(fd, right, sizeof right, 0);
        }
        put(fd, bytes, n, NULL, 0);
        t->said++;
        hear(fd, t);
        close(fd);
}

static void say_type(const char *target, unsigned first, unsigned type, struct tally *t)
{
        static unsigned char bytes[2 * WIRE_MOST];
        const size_t size = wire_size(type) ? wire_size(type) : sizeof(struct wire_header);

        make(bytes, type, size, WIRE_VERSION);
        say(target, first, bytes, size, t);
        if (first)
                return;
        say(target, first, bytes, size - 1, t);          /* less than it says */
        say(target, first, bytes, size + 8, t);          /* more */
        make(bytes, type, size + 8, WIRE_VERSION);
        say(target, first, bytes, size + 8, t);          /* as much as it says, and more than the type has */
        make(bytes, type, size, 77);
        say(target, first, bytes, size, t);              /* another version */
        make(bytes, type, size, WIRE_VERSION);
        memset(bytes + sizeof(struct wire_header), 0xff, size - sizeof(struct wire_header));
        say(target, first, bytes, size, t);              /* texts without an end, numbers without a bound */
}

static int says(const char *target)
{
        static const unsigned firsts[] = { 0, WIRE_DAEMON_HELLO, WIRE_DAEMON_REQUEST };
        static unsigned char bytes[2 * WIRE_MOST];
        const size_t sizes[] = { 1, 7, WIRE_MOST, WIRE_MOST + 1, 2 * WIRE_MOST };
        struct tally t = { 0 };
        unsigned type, i;

        for (i = 0; i < (target[0] == '@' ? 1 : 3); i++)
                for (type = 0; type < TYPES && t.silent < 5; type++)
                        if (wire_size(type) || type == 0 || type == TYPES - 1)
                                say_type(target, firsts[i], type, &t);
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                memset(bytes, 0xff, sizeof bytes);
                say(target, 0, bytes, sizes[i], &t);
        }
        print_tally(&t);
        return 0;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static int memory(const char *what)
{
        int fd = memfd_create(what, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || ftruncate(fd, what[0] == 'h' ? INT64_C(1) << 40 : 4096) < 0) {
                perror("intruder: memfd");
                exit(2);
        }
        return fd;
}

static void hand(const char *target, const int *fds, int n, struct tally *t)
{
        unsigned char bytes[2 * WIRE_MOST];
        const unsigned type = target[0] == '@' ? WIRE_HELLO : WIRE_DAEMON_REQUEST;
        int fd = knock_patiently(target);

        make(bytes, type, wire_size(type), WIRE_VERSION);
        if (put(fd, bytes, wire_size(type), fds, n) < 0 && errno == ETOOMANYREFS)
                printf("the kernel lets no more descriptors be on their way\n");
        t->said++;
        hear(fd, t);
        close(fd);
}

static int descriptors(const char *target)
{
        struct tally t = { 0 };
        int fds[MOST_FDS], pair[2], i;
        const int kinds[] = { open("/dev/zero", O_RDWR | O_CLOEXEC), open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                              open("/proc/self/mem", O_RDWR | O_CLOEXEC), memory("unsealed"), memory("huge and sparse"),
                              knock_patiently(target) };
        const int n_kinds = sizeof kinds / sizeof kinds[0];

        for (i = 0; i < n_kinds; i++)
                hand(target, &kinds[i], 1, &t);
        for (i = 0; i < MOST_FDS; i++)
                fds[i] = kinds[i % n_kinds];
        for (i = 0; i < 20; i++)
                hand(target, fds, MOST_FDS, &t);
        /* Sockets on their way within each other, which only the kernel's collector ends. */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
                put(pair[0], "x", 1, pair, 2);
                put(pair[1], "x", 1, pair, 2);
                hand(target, pair, 2, &t);
        }
        print_tally(&t);
        return 0;
}

/* ---- hold -------------------------------------------------------------------------------------------------------- */

static int still_open(struct pollfd *all, int n, int wait_ms)
{
        unsigned char bytes[WIRE_MOST];
        const int64_t until_ns = clock_now() + wait_ms * CLOCK_MS;
        int i, open = n;

        while (open > 0 && clock_now() < until_ns && !told_to_end) {
                poll(all, (nfds_t)n, 100);
                for (i = 0, open = 0; i < n; i++) {
                        if (all[i].fd < 0)
                                continue;
                        if (recv(all[i].fd, bytes, sizeof bytes, 0) == 0 || (errno != EAGAIN && all[i].revents)) {
                                close(all[i].fd);
                                all[i].fd = -1;
                        } else {
                                open++;
                        }
                }
        }
        return open;
}

static int hold(const char *target, int n)
{
        struct pollfd *all = calloc((size_t)n, sizeof *all);
        int i, open;

        raise_limit();
        for (i = 0; all && i < n; i++)
                all[i] = (struct pollfd){ .fd = knock_patiently(target), .events = POLLIN };
        open = still_open(all, n, 1500);
        printf("of %d connections %d are open\n", n, open);
        while (open > 0 && !told_to_end)
                open = still_open(all, n, 1000);
        printf("%d are open at the end\n", open);
        free(all);
        return 0;
}

/* ---- churn ------------------------------------------------------------------------------------------------------- */

static void greet(int fd)
{
        struct wire_daemon_hello m = { .oldest = WIRE_VERSION, .newest = WIRE_VERSION, .stint = 1 };

        WIRE_INIT(&m, WIRE_DAEMON_HELLO);
        put(fd, &m, sizeof m, NULL, 0);
}

/* One message more on a connection that stays; 0 when there is no room, or nobody any more. */
static int go_on(int fd, const char *word, unsigned turn)
{
        struct wire_daemon_request list = { .what = DAEMON_LIST };
        struct wire_daemon_plan plan = { .left_ns = CLOCK_NEVER, .told_ns = CLOCK_NEVER, .interval_ns = CLOCK_NEVER,
                                         .flying_ns = -1 };

        if (word[0] == 'd') {
                WIRE_INIT(&list, WIRE_DAEMON_REQUEST);
                return put(fd, &list, sizeof list, NULL, 0) == 0;
        }
        WIRE_INIT(&plan, WIRE_DAEMON_PLAN);
        plan.ranks = turn % 2;
        return put(fd, &plan, sizeof plan, NULL, 0) == 0;
}

static unsigned stay(int fd, const char *word)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        unsigned turn = 0;

        if (word[0] == 'j')
                greet(fd);
        while (!told_to_end && poll(&p, 1, 200) >= 0 && !(p.revents & (POLLHUP | POLLERR)))
                if ((p.revents & POLLOUT) && go_on(fd, word, turn))
                        turn++;
        return turn;
}

static void once(int fd, const char *word)
{
        struct wire_daemon_memory memory_wanted = { .bytes = 4096 };
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (word[0] == 'j') {
                put(fd, "junk", 4, NULL, 0);
        } else if (word[0] == 'h') {
                greet(fd);
                poll(&p, 1, PATIENCE_MS);
        } else if (word[0] == 'm') {
                WIRE_INIT(&memory_wanted, WIRE_DAEMON_MEMORY);
                put(fd, &memory_wanted, sizeof memory_wanted, NULL, 0);
        }
}

static int churn(const char *target, const char *word)
{
        const int stays = strcmp(word, "jobs") == 0 || strcmp(word, "deaf") == 0;
        unsigned times = 0, turns = 0;
        int fd;

        printf("begins\n");
        while (!told_to_end) {
                fd = knock_patiently(target);
                if (fd < 0)
                        break;
                if (stays)
                        turns += stay(fd, word);
                else
                        once(fd, word);
                close(fd);
                times++;
        }
        printf("came %u times and said %u things more\n", times, turns);
        return 0;
}

/* ---- heir -------------------------------------------------------------------------------------------------------- */

static int heir(const char *target)
{
        struct wire_daemon_memory m = { .bytes = 4096 };
        struct tally t = { 0 };
        const pid_t parent = getpid();
        char line[16];
        int fd;

        printf("process %d\n", (int)parent);
        if (!fgets(line, sizeof line, stdin))
                return 1;
        fd = knock_patiently(target);
        if (fork() != 0)
                _exit(0);
        while (getppid() == parent)
                poll(NULL, 0, 1);
        /* Its parent may be a zombie still, which is as dead. */
        WIRE_INIT(&m, WIRE_DAEMON_MEMORY);
        put(fd, &m, sizeof m, NULL, 0);
        t.said++;
        hear(fd, &t);
        print_tally(&t);
        return 0;
}

/* ---- squat ------------------------------------------------------------------------------------------------------- */

static int sit(const char *target)
{
        struct sockaddr_un address;
        socklen_t size = address_of(target, &address);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 64) == 0)
                return fd;
        printf("cannot sit on %s: %s\n", target, strerror(errno));
        if (fd >= 0)
                close(fd);
        return -1;
}

static void answer(int fd, const struct wire_header *heard)
{
        struct wire_daemon_welcome welcome = { .version = WIRE_VERSION };
        struct wire_daemon_trigger drain = { .reason = SAVE_DRAIN };

        if (heard->type != WIRE_DAEMON_HELLO)
                return;
        WIRE_INIT(&welcome, WIRE_DAEMON_WELCOME);
        put(fd, &welcome, sizeof welcome, NULL, 0);
        WIRE_INIT(&drain, WIRE_DAEMON_TRIGGER);
        put(fd, &drain, sizeof drain, NULL, 0);
}

static void receive_guest(int listener)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        struct pollfd p = { .events = POLLIN };
        struct ucred who = { 0 };
        socklen_t size = sizeof who;
        ssize_t n;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                return;
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
        printf("uid %u came\n", (unsigned)who.uid);
        p.fd = fd;
        while (!told_to_end && poll(&p, 1, PATIENCE_MS) > 0 && (n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
                printf("uid %u said %zd bytes: %s\n", (unsigned)who.uid, n,
                       wire_name(((const struct wire_header *)(const void *)bytes)->type));
                answer(fd, (const void *)bytes);
        }
        close(fd);
}

static int squat(char **targets, int count)
{
        struct pollfd *all = calloc((size_t)count, sizeof *all);
        nfds_t n = 0, i;

        raise_limit();
        for (; all && count > 0; count--, targets++) {
                all[n] = (struct pollfd){ .fd = sit(*targets), .events = POLLIN };
                n += all[n].fd >= 0;
        }
        printf("sits on %u names\n", (unsigned)n);
        while (!told_to_end)
                if (poll(all, n, 500) > 0)
                        for (i = 0; i < n; i++)
                                if (all[i].revents)
                                        receive_guest(all[i].fd);
        free(all);
        return 0;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int names(const char *prefix)
{
        FILE *f = fopen("/proc/net/unix", "re");
        char line[512], *at;

        if (!f)
                return 1;
        while (fgets(line, sizeof line, f)) {
                line[strcspn(line, "\n")] = '\0';
                at = strchr(line, '@');
                /* 00010000 in the flags: it listens. */
                if (at && strncmp(at + 1, prefix, strlen(prefix)) == 0 && strstr(line, " 00010000 "))
                        puts(at);
        }
        fclose(f);
        return 0;
}

int main(int argc, char **argv)
{
        struct sigaction term = { .sa_handler = on_term }; /* without SA_RESTART: poll(2) is to return */

        sigaction(SIGTERM, &term, NULL);
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc == 3 && !strcmp(argv[1], "names"))
                return names(argv[2]);
        if (argc == 3 && !strcmp(argv[1], "says"))
                return says(argv[2]);
        if (argc == 3 && !strcmp(argv[1], "descriptors"))
                return descriptors(argv[2]);
        if (argc == 4 && !strcmp(argv[1], "hold"))
                return hold(argv[2], atoi(argv[3]));
        if (argc == 4 && !strcmp(argv[1], "churn"))
                return churn(argv[2], argv[3]);
        if (argc == 3 && !strcmp(argv[1], "heir"))
                return heir(argv[2]);
        if (argc >= 3 && !strcmp(argv[1], "squat"))
                return squat(argv + 2, argc - 2);
        fprintf(stderr, "usage: intruder names|says|descriptors|hold|churn|heir|squat [TARGET] [ARGUMENT]\n");
        return 2;
}
