"""Child processes that never outlive whoever started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from console.services.account import Account

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_child(
    *,
    command: Sequence[str | Path],
    log: Path,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, with its output appended to `log`.

    The kernel sends it `death_signal` when this process dies, however it dies (Linux). Call it in the main thread:
    the signal follows the thread that started the child. A Ctrl-C at the terminal does not reach the child.
    """
    user, group = (account.uid, account.gid) if account else (None, None)
    log.touch(mode=0o600)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            # The death signal is forgotten when the user changes, so it is set after that, just before exec.
            preexec_fn=_follow(os.getpid(), death_signal),  # noqa: PLW1509 (called from the main thread)
            user=user,
            group=group,
            extra_groups=[] if account else None,
        )


def follow_parent(death_signal: signal.Signals) -> None:
    """Have the kernel send this process `death_signal` when its parent dies (Linux; elsewhere nothing happens)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))


def stop_child(process: subprocess.Popen[bytes], *, by: signal.Signals, seconds: float) -> None:
    """Ask the child to end with the signal `by`; kill it and what it started where it has not within `seconds`."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _follow(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    def before_exec() -> None:
        follow_parent(death_signal)
        if os.getppid() != parent:  # the parent died before the line above took effect
            os._exit(1)

    return before_exec
