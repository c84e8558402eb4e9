#!/usr/bin/env python3
"""A daemon with a log of lines, for the examples of docs/daemons.md.

    log_server.py PORT|SOCKET DIRECTORY [naive]    serves one client after the other
    log_server.py PORT|SOCKET append|list WORD..   is a client

`append WORD` is answered when the word is durable; with `naive`, before it is written. `list` prints all words. A
client ends with a status that is not 0 where no daemon listens.
"""
import os
import socket
import sys
from plugpull import connected


def where(text):
    return ("127.0.0.1", int(text)) if text.isdigit() else text


def opened(directory):
    """The log without what a crash has cut, and its words. All of it is durable."""
    log = open(os.path.join(directory, "log"), "a+b", buffering=0)
    log.seek(0)
    found = log.read()
    log.truncate(found.rfind(b"\n") + 1)
    os.fsync(log)
    names = os.open(directory, os.O_RDONLY)
    os.fsync(names)
    os.close(names)
    return log, found.split(b"\n")[:-1]


class Log:
    """What a client asks for, line by line. `held` is acknowledged, and written only later."""

    def __init__(self, directory, is_naive):
        self.log, self.words = opened(directory)
        self.is_naive, self.held = is_naive, b""

    def answer(self, command, *more):
        if command == b"list":
            return b"".join(word + b"\n" for word in self.words)
        self.words += more
        self.held += more[0] + b"\n"
        if not self.is_naive or len(self.words) % 4 == 0:
            self.log.write(self.held)
            os.fsync(self.log)
            self.held = b""
        return b"ok\n"


def serve(address, log):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    daemon = socket.socket(family)
    # On all addresses, as many daemons do.
    daemon.bind(address if isinstance(address, str) else ("0.0.0.0", address[1]))
    daemon.listen()
    print(f"log_server.py: listens at {address}", flush=True)
    while True:
        client, _ = daemon.accept()
        try:
            for line in client.makefile("rb"):
                client.sendall(log.answer(*line.split()))
                if line == b"list\n":
                    break
        except ConnectionError:
            pass  # the client is gone
        client.close()


def ask(address, words):
    connection, answers = connected(address)
    connection.sendall(" ".join(words).encode() + b"\n")
    if words[0] == "list":
        sys.stdout.buffer.writelines(answers)
    elif answers.readline() != b"ok\n":
        sys.exit("the daemon has not taken it")


if __name__ == "__main__":
    if sys.argv[2] in ("append", "list"):
        try:
            ask(where(sys.argv[1]), sys.argv[2:])
        except OSError as error:
            sys.exit(f"no daemon at {sys.argv[1]}: {error}")
    else:
        serve(where(sys.argv[1]), Log(sys.argv[2], sys.argv[3:] == ["naive"]))
