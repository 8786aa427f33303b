"""Whether a file lies where SQLite's locks and shared memory work: not on a network file system."""

from __future__ import annotations

import os

from steadypool.durable.engine.errors import EngineError

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "ceph", "glusterfs", "lustre", "gfs2"})
NETWORK_PREFIX = ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.cephfs")


def check_file_system(path: str) -> None:
    """Do nothing, unless *path* is on a network file system.

    Raises:
        EngineError: it is: two machines would each believe that they alone have the lock.
    """
    kind = file_system_of(path)
    if kind in NETWORK or kind.startswith(NETWORK_PREFIX):
        raise EngineError(
            f"{path} is on a network file system ({kind}), where SQLite's locks do not hold and a queue would be "
            "damaged: "
            "keep it on a local disk, or use postgresql://"
        )


def file_system_of(path: str) -> str:
    """The kind of file system that *path* is on; empty if it cannot be told."""
    import psutil

    real = os.path.realpath(path)
    best, kind = "", ""
    for part in psutil.disk_partitions(all=True):
        point = part.mountpoint
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, part.fstype
    return kind
