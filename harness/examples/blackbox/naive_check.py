#!/usr/bin/env python3
"""Prints the lines that a log still has: naive_check.py DIRECTORY"""
import os
import re
import sys

path = os.path.join(sys.argv[1], "log")
if os.path.exists(path):
    with open(path, "rb") as log:
        # A line that was not finished, or that a power cut has left zeros or garbage in, is no entry.
        for line in log.read().split(b"\n"):
            if re.fullmatch(rb"g[0-9]+-[0-9]+\.", line):
                print("survived", line[:-1].decode())
