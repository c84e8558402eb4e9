"""What a writer and a checker in Python say to plugpull, and how they run a daemon. Copy this file.

docs/black-box.md has the protocol, docs/daemons.md what a daemon needs.
"""
import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

GENERATION = os.environ.get("PLUGPULL_GENERATION", "0")
WORDS = int(os.environ.get("PLUGPULL_FD", "1"))


def line(*words):
    return " ".join(str(word) for word in words if word is not None) + "\n"


def say(*words):
    """One write for each line: what is still in a buffer dies with the program."""
    os.write(WORDS, line(*words).encode())


def attempt(name, digest=None):
    """Before an append begins. `name` is used once: GENERATION is a part of it."""
    say("attempt", name, digest)


def ack(name, position=None):
    """After the store has said that the entry is durable."""
    say("ack", name, position)


def survived(name, digest=None):
    """In a checker, for each entry in order. It is written by the end of the program at the latest."""
    sys.stdout.write(line("survived", name, digest))


def port():
    """A TCP port that nothing else uses. The three after it are this program's as well."""
    given = os.environ.get("PLUGPULL_PORT")
    if given:
        return int(given)
    with socket.socket() as unused:  # started by hand
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def socket_path():
    """A path for a socket in a folder of its own, outside of the store and short enough for the kernel."""
    given = os.environ.get("PLUGPULL_SOCK")
    if given:
        return given
    directory = tempfile.mkdtemp(prefix="plugpull-")  # started by hand
    atexit.register(subprocess.run, ["rm", "-rf", directory])
    return os.path.join(directory, "sock")


def started(command, connect, **options):
    """Starts a daemon in the foreground and waits until `connect()` succeeds. Returns both.

    Its standard output would be taken for the protocol, so it goes to standard error. It ends with this
    program at the latest.
    """
    process = subprocess.Popen(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, **options)
    atexit.register(stopped, process)
    return process, wait_for(process, connect)


def wait_for(process, connect):
    """Waits until `connect()` succeeds, as long as the daemon runs."""
    while True:
        try:
            return connect()
        except (OSError, EOFError):
            pass
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended by itself: status {process.returncode}")
        time.sleep(0.005)


def stopped(process, how=signal.SIGKILL):
    """Ends a daemon and waits for its end: a checker that leaves one running has failed."""
    if process.poll() is None:
        process.send_signal(how)
        process.wait()


def connected(where):
    """A connection to an address and port, or to a socket's path, and a file to read from it."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    connection = socket.socket(family)
    try:
        connection.connect(where)
    except OSError:
        connection.close()
        raise
    return connection, connection.makefile("rb")
