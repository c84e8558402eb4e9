"""The black-box protocol (docs/black-box.md) for Python.

A program here is one file with two commands: `write DIRECTORY` appends until it is killed, and
`check DIRECTORY` prints what survived. A third word, `weak`, turns a promise off on purpose.
"""
import hashlib
import os
import sys

GENERATION = os.environ.get("PLUGPULL_GENERATION", "0")
WORDS = int(os.environ.get("PLUGPULL_FD", "1"))


def say(line):
    """One write for each line: what is still in a buffer dies with the program."""
    os.write(WORDS, line.encode() + b"\n")


def digest(body):
    return hashlib.md5(body).hexdigest()[:16]


def entry(number):
    """Its name and its body. The bodies are of different lengths, so that some of them cross pages."""
    name = f"g{GENERATION}-{number}"
    pattern = hashlib.sha256(name.encode()).hexdigest().encode()
    return name, (pattern * 110)[: number % 5 * 1700 + 20]


def entries():
    """Entries without end, each announced before it is handed out and acknowledged afterwards."""
    number = 0
    while True:
        name, body = entry(number)
        say(f"attempt {name} {digest(body)}")
        yield name, body
        say(f"ack {name}")
        number += 1


def pack(name, body):
    """An entry as one value, for stores that have no columns."""
    return name.encode() + b" " + body


def survived(value):
    """One packed entry of the checker's answer."""
    name, _, body = value.partition(b" ")
    print("survived", name.decode("ascii", "backslashreplace").replace("\0", "?"), digest(body))


def main(write, check):
    command, directory, *options = sys.argv[1:]
    weak = options == ["weak"]
    if command == "write":
        write(directory, weak)
    else:
        check(directory, weak)
        sys.stdout.flush()
