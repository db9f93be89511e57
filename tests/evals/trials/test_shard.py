"""The process of a run ends with the command that asked for it."""

import os
import signal
import subprocess
import sys
import time

import psutil

from evals.trials.run import FORKS
from evals.trials.shard import end_with_command

COMMAND = """
from tests.evals.trials.test_shard import start_idle_run
start_idle_run()
"""


def test_a_killed_command_leaves_no_run_behind():
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout
        run = psutil.Process(int(command.stdout.readline()))
        os.kill(command.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([run], timeout=30.0)
    assert not alive


def start_idle_run() -> None:
    """What the command does: it starts a process, says which, and waits."""
    process = FORKS.Process(target=idle_run)
    process.start()
    print(process.pid, flush=True)
    process.join()


def idle_run() -> None:
    end_with_command()
    time.sleep(60.0)
