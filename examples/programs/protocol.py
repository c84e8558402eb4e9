"""What the programs here share: entries, and the words and daemons of `examples/protocol/plugpull.py`.

A program here is one file with two commands: `write DIRECTORY` appends until it is killed, and
`check DIRECTORY` prints what survived. A third word, `weak`, turns a promise off on purpose.
"""
import hashlib
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../protocol"))
import plugpull
from plugpull import GENERATION, ack, attempt, connected, port, socket_path, started, stopped, wait_for


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
        attempt(name, digest(body))
        yield name, body
        ack(name)
        number += 1


def pack(name, body):
    """An entry as one value, for stores that have no columns."""
    return name.encode() + b" " + body


def survived(value):
    """One packed entry of the checker's answer."""
    name, _, body = value.partition(b" ")
    plugpull.survived(name.decode("ascii", "backslashreplace").replace("\0", "?"), digest(body))


def main(write, check):
    command, directory, *options = sys.argv[1:]
    weak = options == ["weak"]
    if command == "write":
        write(directory, weak)
    else:
        check(directory, weak)
        sys.stdout.flush()
