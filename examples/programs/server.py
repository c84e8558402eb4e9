"""A server that a writer or a checker starts for itself, and its connection."""
import atexit
import os
import random
import socket
import subprocess
import sys
import tempfile
import time


def address():
    """A loopback address that no other server uses: 127.0.0.0/8 has sixteen million of them."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"


def socket_path():
    """A path for a socket, outside the store. It is short: the kernel allows 107 bytes."""
    directory = tempfile.mkdtemp(prefix="program-")
    atexit.register(subprocess.run, ["rm", "-rf", directory])
    return os.path.join(directory, "socket")


def started(command, connect, **options):
    """Starts a server and waits until `connect()` succeeds. Returns both.

    The server's standard output would be taken for the protocol, so it goes to standard error.
    """
    process = subprocess.Popen(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, **options)
    atexit.register(process.wait)
    atexit.register(process.kill)
    return process, wait_for(process, connect)


def wait_for(process, connect):
    """Waits until `connect()` succeeds, as long as the server runs."""
    while True:
        try:
            return connect()
        except (OSError, EOFError):
            pass
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended by itself: status {process.returncode}")
        time.sleep(0.005)


def connected(where):
    """A connection to an address and port, or to a socket's path, and a file to read from it."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    connection = socket.socket(family)
    connection.connect(where)
    return connection, connection.makefile("rb")
