"""Runs a command at a terminal, answers its question with one line, and ends as it ended.

    terminal.py ANSWER COMMAND [ARGUMENT ...]
"""

import os
import pty
import sys

answer, command = sys.argv[1], sys.argv[2:]
answered = False


def read(terminal):
    """What the command writes; its question ends with a colon and a blank, and no line break."""
    global answered
    data = os.read(terminal, 4096)
    if not answered and data.rstrip(b" ").endswith(b":"):
        answered = True
        os.write(terminal, answer.encode() + b"\n")
    return data


sys.exit(os.waitstatus_to_exitcode(pty.spawn(command, read)))
