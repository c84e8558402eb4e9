#!/usr/bin/python3
"""Damages a checker's answer on purpose: drops the first of every 50 entries.

damaged.py COMMAND.. runs the checker. A torture that passes with it has not looked.
"""
import subprocess
import sys

done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
lines = done.stdout.splitlines(keepends=True)
sys.stdout.buffer.writelines(line for place, line in enumerate(lines) if place % 50)
sys.exit(done.returncode)
