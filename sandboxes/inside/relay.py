"""Hands its own standard streams to the sandbox's runner, and stays until the lease ends.

Executed in a container once per lease; nothing that a lease sends passes through it. Standard
library only.
"""

import socket
import sys
import time

__all__ = ["main"]

_START_S = 30.0


def main(path: str) -> None:
    """Hands descriptors 0 and 1 to the runner that listens at `path`, or soon will."""
    until = time.monotonic() + _START_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as runner:
        while True:
            try:
                runner.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

        socket.send_fds(runner, [b"."], [0, 1])
        # Returns when the runner closes its end. The engine ends the lease's connection with this
        # process, so it must not go before.
        runner.recv(1)


if __name__ == "__main__":
    main(sys.argv[1])
