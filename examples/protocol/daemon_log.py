#!/usr/bin/env python3
"""A writer and a checker for a daemon: daemon_log.py write|check DIRECTORY PORT|SOCKET [naive]"""
import os
import sys
from plugpull import GENERATION, ack, attempt, connected, started, stopped, survived
from log_server import where

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "log_server.py")
command, directory, at, *options = sys.argv[1:]


def opened():
    return started([sys.executable, SERVER, at, directory, *options], lambda: connected(where(at)))


if command == "write":
    _, (connection, answers) = opened()
    number = 0
    while True:
        name = f"g{GENERATION}-{number}"
        attempt(name)
        connection.sendall(f"append {name}\n".encode())
        if answers.readline() != b"ok\n":
            sys.exit("the daemon has not taken it")
        ack(name)
        number += 1
daemon, (connection, answers) = opened()
connection.sendall(b"list\n")
for word in answers:
    survived(word.strip().decode())
stopped(daemon)
