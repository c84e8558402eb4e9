/* What a writer and a checker in C or C++ say to plugpull. Copy this file; docs/black-box.md has the protocol. */
#ifndef PLUGPULL_H
#define PLUGPULL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Which run on this directory this is: "0", "1" .. A part of each id, as an id is used once. */
static inline const char *plugpull_generation(void) {
    const char *given = getenv("PLUGPULL_GENERATION");
    return given ? given : "0";
}

/* One write for each line: what is still in a buffer dies with the program. */
static inline void plugpull_say(const char *word, const char *id, const char *more) {
    char line[4096]; /* a write of more to a pipe may be cut */
    const char *fd = getenv("PLUGPULL_FD");
    int length = snprintf(line, sizeof line, "%s %s%s%s\n", word, id, more ? " " : "", more ? more : "");
    ssize_t written;
    if (length < 0 || (size_t)length >= sizeof line) {
        fprintf(stderr, "plugpull: the id is too long: %.40s\n", id);
        exit(1);
    }
    do
        written = write(fd ? atoi(fd) : STDOUT_FILENO, line, (size_t)length);
    while (written < 0 && errno == EINTR);
    if (written != length) {
        perror("plugpull: cannot say a word");
        exit(1);
    }
}

/* Before an append begins. `hash`, of its bytes, may be NULL. */
static inline void plugpull_attempt(const char *id, const char *hash) { plugpull_say("attempt", id, hash); }

/* After the store has said that the entry is durable. `position`, from 0 in the checker's list, may be NULL. */
static inline void plugpull_ack(const char *id, const char *position) { plugpull_say("ack", id, position); }

/* In a checker, for each entry in order. It is written when main() returns, or by exit(). */
static inline void plugpull_survived(const char *id, const char *hash) {
    printf("survived %s%s%s\n", id, hash ? " " : "", hash ? hash : "");
}

#endif
