"""Runs a program in a pseudo-terminal. One argument, JSON: {"argv": [...], "rows": 24, "columns": 80,
"answers": [[text, keys], ...]}: each time `text` shows up, in this order, `keys` are typed. The terminal's
output goes to stdout, and to stderr when the program has left it in another mode; the exit code is the program's, 128
and the number of the signal that ended it."""

import fcntl
import json
import os
import pty
import struct
import sys
import termios

job = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(job["argv"][0], job["argv"])
size = struct.pack("HHHH", job.get("rows", 24), job.get("columns", 80), 0, 0)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
mode = termios.tcgetattr(terminal)

answers = job.get("answers", [])
unseen = b""
while True:
    try:
        chunk = os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        break
    if not chunk:
        break
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    unseen += chunk
    while answers and answers[0][0].encode() in unseen:
        text, keys = answers.pop(0)
        unseen = unseen[unseen.index(text.encode()) + len(text.encode()) :]
        os.write(terminal, keys.encode())

status = os.waitpid(pid, 0)[1]
if termios.tcgetattr(terminal) != mode:
    print("The terminal is in another mode than before.", file=sys.stderr)
code = os.waitstatus_to_exitcode(status)
sys.exit(128 - code if code < 0 else code)
