"""Runs one command and prints what it cost: `python -I -S stopwatch.py LOG CPU COMMAND...`.

A program of its own, as small as Python gets: the kernel counts the memory that a child shared with
its parent before execve(2) into the child's peak, so a large parent would be measured as well.

LOG takes what the command prints; CPU is the one to run on, or `-`. Printed is one line of JSON:
`status` (wait status), `wall`, `cpu` (user and system seconds), `peak` (bytes, of the largest
process), or `error` where the command cannot be executed. Standard input is the caller's life line:
when it ends before the command does, the command's process group is killed.
"""

import json
import os
import select
import signal
import sys
import time


def main(log: str, cpu: str, command: list[str]) -> None:
    if cpu != "-":
        os.sched_setaffinity(0, {int(cpu)})
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    streams = [(os.POSIX_SPAWN_DUP2, null, 0)]
    streams += [(os.POSIX_SPAWN_DUP2, out, fd) for fd in (1, 2)]
    started = time.monotonic()
    try:
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams, setpgroup=0)
    except OSError as error:
        print(json.dumps({"error": error.strerror}))
        return
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, sys.stdin], [], [])
    wall = time.monotonic() - started
    if ended not in ready:
        os.killpg(pid, signal.SIGKILL)
        os.wait4(pid, 0)
        return
    _, status, usage = os.wait4(pid, 0)
    cost = {
        "status": status,
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
