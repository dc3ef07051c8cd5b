"""How does a server learn that its supervisor was killed, and run as somebody other than root?

Run by path in a fresh interpreter (``python -I -S launch.py SIGNAL PARENT UID GID PROGRAM ARGS...``), which
then *becomes* the server. ``preexec_fn`` could do the same, but would run Python between fork and exec of a
process that has threads. The order matters: a change of uid clears the parent-death signal, an exec keeps it.

The kernel sends that signal when the *thread* that forked ends, not only its process: start servers from the
thread that lives as long as they must (the one of the event loop).
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
KEEP = -1  # this uid or gid stays as it is


def become(signum: int, parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Take the identity, tie our death to the parent's, turn into ``command``. Returns only by raising."""
    os.umask(0o077)
    if uid != KEEP:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the line above
        raise SystemExit("the supervisor is gone")
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    signum, parent, uid, gid = (int(word) for word in sys.argv[1:5])
    become(signum, parent, uid, gid, sys.argv[5:])
