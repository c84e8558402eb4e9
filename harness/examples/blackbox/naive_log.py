#!/usr/bin/env python3
"""A log of lines, as one writes it in five minutes: is a line that was acknowledged there after a power cut?

    naive_log.py DIRECTORY [no-sync | fsync | correct]
"""
import os
import sys

directory, mode = sys.argv[1], sys.argv[2]
log = os.open(os.path.join(directory, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
if mode == "correct":
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
