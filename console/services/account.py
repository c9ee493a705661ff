"""The unprivileged account that the database and Valkey run under when root starts them.

PostgreSQL refuses to run as root. An ordinary user runs both as itself, and none of this applies.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.services.failure import ServiceFailure

NAME = "gatehouse"
SHELTER = Path("/var/lib/gatehouse")


@dataclass(frozen=True)
class Account:
    """A system user, by number."""

    uid: int
    gid: int


def service_account() -> Account | None:
    """The account to run servers under, created where it is missing; None where we may run them ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _create()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _create() -> pwd.struct_passwd:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        NAME,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise ServiceFailure(
            f"PostgreSQL does not run as root, and the system user {NAME!r} could not be created"
            f" ({reason.strip()}): create it, or start as an ordinary user."
        ) from error
    return pwd.getpwnam(NAME)


def own(path: Path, account: Account | None) -> None:
    """Make the folder `path` where it is missing: private, and the account's own.

    Raises ServiceFailure where somebody else made it first, as anybody could in /tmp.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = path.lstat().st_uid
    ours = os.geteuid() if account is None else account.uid
    if path.is_symlink() or owner not in {ours, os.geteuid()}:
        raise ServiceFailure(f"The folder {path} belongs to somebody else (user number {owner}): remove it.")
    if owner != ours and account is not None:
        os.chown(path, account.uid, account.gid)


def state_folder(home: Path, account: Account | None) -> Path:
    """The folder in which the servers keep their files: `home`, unless the account can't get there.

    A checkout under /root, which is closed to others, is such a case: then it is a folder under /var/lib/gatehouse
    that belongs to this `home`, since opening somebody's home folder is not ours to do.
    """
    home.mkdir(parents=True, exist_ok=True)
    if account is None:
        return home
    if all(_open_to_others(parent) for parent in home.parents):
        # `home` is ours; what is secret in it has its own mode.
        home.chmod(home.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
        return home
    SHELTER.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder = SHELTER / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    folder.mkdir(mode=0o711, exist_ok=True)
    return folder


def reachable(
    program: Path, *, root: Path, trees: Sequence[str], copies: Path, account: Account | None
) -> Path:
    """`program`, or its copy, such that the account can run it.

    `trees` are the folders below `root` with the program and all that it needs, at the places where it looks for it.
    Where they lie in a closed folder (an environment under /root), they are copied below `copies`, once per installed
    version.
    """
    if account is None or (
        program.stat().st_mode & stat.S_IXOTH and all(map(_open_to_others, program.parents))
    ):
        return program
    copy = copies / f"{program.name}-{int(program.stat().st_mtime)}"
    if not copy.exists():
        draft = copies / f"{program.name}.{os.getpid()}"
        unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
        for tree in trees:
            shutil.copytree(root / tree, draft / tree, symlinks=True, ignore=unneeded)
        for path in [draft, *draft.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        draft.rename(copy)
    return copy / program.relative_to(root)


def _open_to_others(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)
