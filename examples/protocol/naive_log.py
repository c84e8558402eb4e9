#!/usr/bin/env python3
"""A log of lines: naive_log.py write|check DIRECTORY [naive|correct]

`naive` is what one writes in five minutes: it loses acknowledged lines when the power goes.
"""
import os
import re
import sys
from plugpull import GENERATION, ack, attempt, survived


def sync_names(directory):
    names = os.open(directory, os.O_RDONLY)
    os.fsync(names)
    os.close(names)


def whole_lines(path):
    """The bytes up to what a crash has cut, or left zeros or garbage in."""
    with open(path, "rb") as log:
        return re.match(rb"(g[0-9]+-[0-9]+\.\n)*", log.read()).group()


def write_all(log, line):
    while line:
        line = line[os.write(log, line):]


def write(directory, is_correct):
    path = os.path.join(directory, "log")
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    if is_correct:
        # A line that a crash has cut would take the next one with it.
        os.truncate(log, len(whole_lines(path)))
        # What an earlier run has left may be in the page cache only, and so may the name of the log.
        os.fsync(log)
        sync_names(directory)
    number = 0
    while True:
        name = f"g{GENERATION}-{number}"
        attempt(name)
        write_all(log, f"{name}.\n".encode())
        if is_correct:
            os.fsync(log)
        ack(name)
        number += 1


def check(directory):
    path = os.path.join(directory, "log")
    if os.path.exists(path):
        for line in whole_lines(path).split():
            survived(line[:-1].decode())


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3] == "correct")
else:
    check(sys.argv[2])
