"""`python -m local.tether COMMAND…`: run a program that must not outlive its parent, and does not see to it itself.

Standard input is held open by the parent. When it ends, or on SIGTERM or SIGINT, the program is terminated.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """The program's exit code."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def stop(*_: object) -> None:
        program.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    def watch() -> None:
        while os.read(0, 4096):
            continue
        stop()

    threading.Thread(target=watch, daemon=True).start()
    return program.wait()


if __name__ == "__main__":
    sys.exit(main())
