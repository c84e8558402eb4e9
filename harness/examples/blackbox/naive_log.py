#!/usr/bin/env python3
"""A log of lines, as one writes it in five minutes: is a line that was acknowledged there after a power cut?

    naive_log.py DIRECTORY [no-sync | fsync | correct]
"""
import os
import re
import sys

directory, mode = sys.argv[1], sys.argv[2]
path = os.path.join(directory, "log")
log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
if mode == "correct":
    # A line that a crash has cut, or left zeros or garbage in, would take the next one with it.
    whole = re.match(rb"(g[0-9]+-[0-9]+\.\n)*", open(path, "rb").read())
    os.truncate(log, whole.end())
    # What an earlier run has left may be in the page cache only, and so may the name of the log.
    os.fsync(log)
    names = os.open(directory, os.O_RDONLY)
    os.fsync(names)
    os.close(names)

number = 0
while True:
    entry = f"g{os.environ['PLUGPULL_GENERATION']}-{number}"
    print("attempt", entry, flush=True)
    os.write(log, f"{entry}.\n".encode())
    if mode != "no-sync":
        os.fsync(log)
    print("ack", entry, flush=True)
    number += 1
