/* A log of lines: naive_log write|check DIRECTORY [naive|correct]
 *
 * `naive` is what one writes in five minutes: it loses acknowledged lines when the power goes. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "plugpull.h"

static void need(int is_done, const char *what) {
    if (!is_done) {
        perror(what);
        exit(1);
    }
}

/* Opens a log and tells how long its whole lines are: up to what a crash has cut, or left zeros or garbage in. With
 * `say`, each is said to have survived. */
static long whole_lines(const char *path, int say) {
    long whole = 0;
    char line[64];
    FILE *log = fopen(path, "r");
    need(log != NULL || errno == ENOENT, path);
    while (log && fgets(line, sizeof line, log)) {
        unsigned generation, number;
        int length = 0;
        if (sscanf(line, "g%u-%u.%n", &generation, &number, &length) != 2 || length == 0 ||
            strcmp(line + length, "\n") != 0)
            break;
        whole += length + 1;
        line[length - 1] = 0;
        if (say)
            plugpull_survived(line, NULL);
    }
    if (log)
        fclose(log);
    return whole;
}

static void write_all(int log, const char *line, size_t length) {
    while (length > 0) {
        ssize_t written = write(log, line, length);
        need(written > 0 || errno == EINTR, "write");
        if (written > 0) {
            line += written;
            length -= (size_t)written;
        }
    }
}

int main(int argc, char **argv) {
    char path[4096];
    if (argc < 3 || snprintf(path, sizeof path, "%s/log", argv[2]) >= (int)sizeof path)
        return 2;
    if (strcmp(argv[1], "check") == 0) {
        whole_lines(path, 1);
        return 0;
    }
    int is_correct = argc > 3 && strcmp(argv[3], "correct") == 0;
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    need(log >= 0, path);
    if (is_correct) {
        /* A line that a crash has cut would take the next one with it. */
        need(ftruncate(log, whole_lines(path, 0)) == 0, "ftruncate");
        /* What an earlier run has left may be in the page cache only, and so may the name of the log. */
        need(fsync(log) == 0, "fsync");
        int names = open(argv[2], O_RDONLY);
        need(names >= 0 && fsync(names) == 0 && close(names) == 0, argv[2]);
    }
    for (unsigned number = 0;; number++) {
        char id[48], line[52];
        snprintf(id, sizeof id, "g%s-%u", plugpull_generation(), number);
        plugpull_attempt(id, NULL);
        write_all(log, line, (size_t)snprintf(line, sizeof line, "%s.\n", id));
        if (is_correct)
            need(fsync(log) == 0, "fsync");
        plugpull_ack(id, NULL);
    }
}
