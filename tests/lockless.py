"""A network file system that does not lock: a folder, shown through FUSE.

`python lockless.py FOLDER MOUNT ERROR` shows FOLDER at MOUNT until it is unmounted. Locks of either kind (flock and
fcntl) are answered with ERROR, such as ENOLCK; with `local` they hold within one mount only, so that two mounts of one
folder are two machines that do not see each other's locks, as NFS does it with `nolock`.
"""

import errno
import os
import sys
from typing import Any

from mfusepy import FUSE, Operations


class Lockless(Operations):  # type: ignore[misc]
    """What is asked of the folder is done in it; only locks are not."""

    use_ns = True

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def at(self, path: str) -> str:
        return self.folder + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self.at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        times = {f"st_{name}time": getattr(found, f"st_{name}time_ns") for name in "acm"}
        return {name: getattr(found, name) for name in names} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self.at(path))]

    def readlink(self, path: str) -> str:
        return os.readlink(self.at(path))

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.at(path))
        return {
            name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"
        }

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self.at(path), flags & ~(os.O_CREAT | os.O_EXCL | os.O_APPEND))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self.at(path), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self.at(old), self.at(new))
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self.at(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self.at(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self.at(path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self.at(path), mode)
        return 0


class Refusing(Lockless):
    """Locks are answered with an error."""

    def __init__(self, folder: str, error: int) -> None:
        super().__init__(folder)
        self.error = error

    def lock(self, path: str, fh: int, cmd: int, lock: Any) -> int:
        return -self.error

    def flock(self, path: str, fh: int, op: int) -> int:
        return -self.error


if __name__ == "__main__":
    folder, mount, how = sys.argv[1:]
    shown = Lockless(folder) if how == "local" else Refusing(folder, getattr(errno, how))
    FUSE(shown, mount, foreground=True, nothreads=True, use_ino=True, attr_timeout=0, entry_timeout=0)
