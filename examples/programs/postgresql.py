#!/usr/bin/python3
"""PostgreSQL 15, Debian package postgresql-15.

Promise: a transaction is durable when its COMMIT returns (PostgreSQL 15 docs, 30.1 "Reliability" and
20.5 `synchronous_commit`: "on").
Weak: `fsync = off`, which loses commits when the power goes.
"""
import os
import signal
import subprocess
from preparation import prepared
from protocol import digest, entries, main, socket_path, started, stopped

BIN = "/usr/lib/postgresql/15/bin/"
# PostgreSQL refuses to be root. In a user namespace it is not, and the files still are its own. The
# shared memory of a killed server ends with its IPC namespace.
AS = ["unshare", "--user", "--ipc", "--map-user=1"]
SMALL = ["listen_addresses=", "shared_buffers=1MB", "max_connections=5", "max_wal_senders=0",
         "min_wal_size=2MB", "max_wal_size=2MB", "checkpoint_timeout=30s", "autovacuum=off",
         "log_min_messages=fatal", "dynamic_shared_memory_type=mmap"]


def opened(data, weak=False):
    directory, lock = os.path.dirname(socket_path()), data + "/postmaster.pid"
    if os.path.exists(lock):
        os.unlink(lock)  # the server is dead, but another process may have its number
    options = [word for option in SMALL + ["fsync=off"] * weak for word in ("-c", option)]
    return directory, started([*AS, BIN + "postgres", "-D", data, "-k", directory, *options],
                              lambda: psql(directory, "SELECT 1"))[0]


def psql(directory, statement):
    command = [BIN + "psql", "-h", directory, "-U", "postgres", "-qAtc", statement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(done.stderr)
    return done.stdout


def make(data):
    subprocess.run([*AS, BIN + "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                    "--locale=C", "--wal-segsize=1", "--no-sync"], check=True, stdout=2)
    directory, server = opened(data)
    psql(directory, "CREATE TABLE log (place bigserial PRIMARY KEY, name text, body text)")
    stopped(server, signal.SIGINT)  # with a checkpoint


def write(directory, weak):
    where, _ = opened(prepared(directory, "data", make), weak)
    session = subprocess.Popen([BIN + "psql", "-h", where, "-U", "postgres", "-qAt"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    session.stdin.write(b"SELECT 1;\n")
    session.stdout.readline()  # it is connected before the first announcement
    for name, body in entries():
        values = f"('{name}', '{body.decode()}')"
        session.stdin.write(f"INSERT INTO log (name, body) VALUES {values} RETURNING name;\n".encode())
        if (answer := session.stdout.readline().decode().strip()) != name:
            raise SystemExit(f"psql answers {answer!r}")


def check(directory, weak):
    data = os.path.join(directory, "data")
    if not os.path.exists(data):
        return
    where, server = opened(data, weak)
    for line in psql(where, "SELECT name || ' ' || body FROM log ORDER BY place").splitlines():
        name, body = line.split()
        print("survived", name, digest(body.encode()))
    stopped(server, signal.SIGQUIT)  # at once: it is not checked again


if __name__ == "__main__":
    main(write, check)
