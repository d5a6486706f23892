/* SPDX-License-Identifier: BSD-3-Clause */
/* log: lines on stderr, for stint, stint-agent and later stintd; called from everywhere in them. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "utf8.h"

/* A line is at most this long, so that a pipe takes it whole and lines of several processes never mix (PIPE_BUF). */
#define LOG_LINE 4096

static const char *log_name = "stint";
static enum stint_log_level log_most = STINT_LOG_NOTICE;
static int log_to_journal;

/*
 * Whether stderr is the journal.  systemd.exec(5): JOURNAL_STREAM is "DEVICE:INODE" of the stream, and is inherited by
 * processes whose stderr went elsewhere since, so it has to be compared.
 */
static int stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return 0;
        return device == st.st_dev && inode == st.st_ino;
}

void log_init(const char *name, enum stint_log_level most)
{
        log_name = name;
        log_most = most;
        log_to_journal = stderr_is_journal();
}

const char *log_escape(char *out, size_t size, const char *text)
{
        static const char digits[] = "0123456789abcdef";
        size_t used = 0;
        uint32_t character;

        if (size == 0)
                return out;
        while (*text) {
                int length = utf8_next(text, &character);
                int escape = length == 0 || utf8_is_control(character);
                int bytes = length ? length : 1;

                if (used + (size_t)(escape ? 4 * bytes : bytes) >= size)
                        break;
                for (int i = 0; i < bytes; i++) {
                        unsigned char c = (unsigned char)text[i];

                        if (escape) {
                                out[used++] = '\\';
                                out[used++] = 'x';
                                out[used++] = digits[c >> 4];
                                out[used++] = digits[c & 15];
                        } else {
                                out[used++] = (char)c;
                        }
                }
                text += bytes;
        }
        out[used] = '\0';
        return out;
}

/* "stint 3: saved ..." names the program already. */
static int names_itself(const char *text)
{
        size_t n = strlen(log_name);

        return strncmp(text, log_name, n) == 0 && text[n] == ' ';
}

static void write_line(enum stint_log_level level, const char *format, va_list arguments)
{
        char text[LOG_LINE], line[LOG_LINE];
        int saved = errno, n;
        size_t length;

        if (level > log_most)
                return;
        n = vsnprintf(text, sizeof text, format, arguments);
        if (n > 0 && n < (int)sizeof text && text[n - 1] == '\n')
                text[n - 1] = '\0';
        if (log_to_journal)
                n = snprintf(line, sizeof line, "<%d>", (int)level);
        else if (names_itself(text))
                n = 0;
        else
                n = snprintf(line, 100, "%.90s: ", log_name);
        log_escape(line + n, sizeof line - (size_t)n - 1, text);
        length = strlen(line);
        line[length++] = '\n';
        /* Where stderr is closed or full there is nobody left to tell. */
        if (write(STDERR_FILENO, line, length) < 0)
                errno = 0;
        errno = saved;
}

void log_error(const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        write_line(STINT_LOG_ERROR, format, arguments);
        va_end(arguments);
}

void log_warning(const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        write_line(STINT_LOG_WARNING, format, arguments);
        va_end(arguments);
}

void log_notice(const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        write_line(STINT_LOG_NOTICE, format, arguments);
        va_end(arguments);
}

void log_debug(const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        write_line(STINT_LOG_DEBUG, format, arguments);
        va_end(arguments);
}
