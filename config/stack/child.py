"""Become a command that ends when its parent ends, even if the parent was killed with -9.

    python child.py SIGNAL PARENT_PID COMMAND...

Run as a script with `-S -E` (nothing but the standard library), so that it costs milliseconds. The
kernel keeps the parent-death signal over exec, but clears it when a process changes its user:
`setpriv` has an option of its own for that case (config/stack/servers.py).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    signal_name, parent_pid, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(getattr(signal, signal_name)))
    if os.getppid() != int(parent_pid):
        sys.exit(1)  # the parent died before the signal was set
    os.execvp(command[0], command)  # noqa: S606 # nosec B606 - the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
