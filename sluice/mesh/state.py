"""The folder that holds a run's data, rendered configuration and logs; one run at a time."""

from __future__ import annotations

import errno
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
                _make(folder)
            _refuse_stranger(root / "lock")
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(root, error) from error
        _take(lock, root)
        return cls(root, temporary=chosen is None, lock=lock)

    def folder(self, name: str) -> Path:
        """Make and answer the folder of one part. Raises OperatorError."""
        path = self.root / name
        try:
            _make(path)
        except OSError as error:
            raise _unusable(self.root, error) from error
        return path

    def write(self, part: str, name: str, text: str) -> Path:
        """Write a file into the folder of one part and answer its path. Raises OperatorError."""
        path = self.folder(part) / name
        try:
            _refuse_stranger(path)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise _unusable(self.root, error) from error
        return path

    def log(self, part: str) -> Path:
        """Answer the file for this part's output, which can be written. Raises OperatorError."""
        path = self.root / "log" / f"{part}.log"
        try:
            _refuse_stranger(path)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        except OSError as error:
            raise _unusable(self.root, error) from error
        return path

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


def _make(folder: Path) -> None:
    # Data of users and passwords in rendered files: nobody else's business.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _refuse_stranger(path: Path) -> None:
    """Raise OSError when something is there that is no file: a pipe would make us wait for ever."""
    if path.exists() and not path.is_file():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _unusable(root: Path, error: OSError) -> OperatorError:
    """Say what is in the way, in the words of files and folders and not of system calls."""
    path = error.filename or root
    if isinstance(error, NotADirectoryError):
        return OperatorError(
            f"the state folder {root} cannot be made, as a part of its path is a file: "
            "choose another with --state DIR"
        )
    if isinstance(error, FileExistsError):
        said = "is no folder, and one is needed there: remove it"
    elif isinstance(error, IsADirectoryError):
        said = "is no file, and one is needed there: remove it"
    else:
        said = f"cannot be written ({error.strerror}): change its owner or rights"
    where = "" if Path(path) == root else f"{root}: "
    return OperatorError(
        f"the state folder {where}{path} {said}, or choose another with --state DIR"
    )


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
