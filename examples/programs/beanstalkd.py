#!/usr/bin/python3
"""beanstalkd with its binlog, Debian package beanstalkd.

Promise: with `-f 0`, a job is answered with INSERTED after the binlog was synced (beanstalkd(1): "A ms
value of 0 will cause beanstalkd to call fsync every time it writes to the binlog").
Weak: `-F`, never sync.
"""
import os
from protocol import connected, entries, main, pack, socket_path, started, stopped, survived


def opened(directory, weak):
    path = socket_path()
    process, (connection, answers) = started(
        ["beanstalkd", "-b", directory, "-F" if weak else "-f0", "-s", "65536", "-z", "60000",
         "-l", "unix:" + path], lambda: connected(path))

    def command(line, body=None):
        data = b"" if body is None else body + b"\r\n"
        connection.sendall(line.encode() + b"\r\n" + data)
        return answers.readline().decode().split()

    return process, command, answers


def write(directory, weak):
    _, command, _ = opened(directory, weak)
    for name, body in entries():
        job = pack(name, body)
        answer = command(f"put 0 0 60 {len(job)}", job)
        if answer[:1] != ["INSERTED"]:
            raise SystemExit(f"beanstalkd answers {answer}")


def check(directory, weak):
    if not os.listdir(directory):
        return
    process, command, answers = opened(directory, weak)
    while (answer := command("reserve-with-timeout 0"))[:1] == ["RESERVED"]:
        survived(answers.read(int(answer[2]) + 2)[:-2])
    if answer != ["TIMED_OUT"]:
        raise SystemExit(f"beanstalkd answers {answer}")
    stopped(process)


if __name__ == "__main__":
    main(write, check)
