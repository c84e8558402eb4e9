#!/usr/bin/python3
"""Redis with its append-only file, Debian package redis-server.

Promise: with `appendfsync always`, a command is answered after its line of the file was synced
(redis.io, "Redis persistence": "every time new commands are appended to the AOF. Very very slow, very
safe").
Weak: `appendfsync no`.
"""
import os
from protocol import connected, entries, main, pack, socket_path, started, stopped, survived


def opened(directory, weak):
    path = socket_path()
    process, (connection, answers) = started(
        ["redis-server", "--port", "0", "--unixsocket", path, "--dir", directory, "--logfile", "",
         "--appendonly", "yes", "--appendfsync", "no" if weak else "always", "--save", "",
         "--auto-aof-rewrite-min-size", "64kb"], lambda: connected(path))

    def command(*words):
        parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(parts))
        return answer(answers)

    while command(b"LLEN", b"log") is None:  # it is still loading
        pass
    return process, command


def answer(file):
    kind, rest = (line := file.readline())[:1], line[1:].strip()
    if kind == b"*":
        return [answer(file) for _ in range(int(rest))]
    if kind == b"$":
        return file.read(int(rest) + 2)[:-2]
    if kind == b":":
        return int(rest)
    if rest.startswith(b"LOADING"):
        return None
    raise SystemExit(f"Redis answers {line}")


def write(directory, weak):
    _, command = opened(directory, weak)
    for name, body in entries():
        command(b"RPUSH", b"log", pack(name, body))


def check(directory, weak):
    if not os.listdir(directory):
        return
    process, command = opened(directory, weak)
    for value in command(b"LRANGE", b"log", b"0", b"-1"):
        survived(value)
    stopped(process)


if __name__ == "__main__":
    main(write, check)
