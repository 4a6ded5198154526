"""The folder that holds a run's data, rendered configuration and logs; one run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sluice.outcome import OperatorError

if TYPE_CHECKING:
    from types import TracebackType

# After a run that was killed, its guardian holds the lock until the last part has let go: at most
# six seconds (guardian.py). A little more for a busy machine.
_LOCK_PATIENCE_SECONDS: Final = 8.0
_LOCK_LOOK_SECONDS: Final = 0.05


class StateFolder:
    """A locked folder: `redis/` and `envoy/` belong to those parts, `log/` has a file a part."""

    def __init__(self, root: Path, *, temporary: bool, lock: int) -> None:
        self.root = root
        self.temporary = temporary
        self.lock = lock

    @classmethod
    def open(cls, chosen: Path | None) -> Self:
        """Make the folder if need be, and lock it. None is a temporary one, gone with the run."""
        root = Path(tempfile.mkdtemp(prefix="sluice-")) if chosen is None else chosen.absolute()
        try:
            for folder in (root, root / "log"):
                # Data of users and passwords in rendered files: nobody else's business.
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OperatorError(
                f"the state folder {root} cannot be written ({error.strerror}): "
                "choose another with --state DIR, or change its owner or rights"
            ) from error
        _take(lock, root)
        return cls(root, temporary=chosen is None, lock=lock)

    def folder(self, name: str) -> Path:
        """Make and answer the folder of one part."""
        path = self.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log(self, part: str) -> Path:
        """Answer where this part's output goes."""
        return self.root / "log" / f"{part}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the folder, and remove it if it is temporary."""
        os.close(self.lock)
        if self.temporary:
            shutil.rmtree(self.root, ignore_errors=True)


def _take(lock: int, root: Path) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode().strip()
            if _lives(holder) or time.monotonic() > deadline:
                os.close(lock)
                raise OperatorError(
                    f"another `sluice up` (process {holder or 'unknown'}) uses the state folder "
                    f"{root}: stop it, or choose another with --state DIR"
                ) from None
            time.sleep(_LOCK_LOOK_SECONDS)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
