"""The points of a build with -Dfaults=true (src/common/fault.h): which shall fail, and what was passed."""

import mmap
import os
import struct

from . import places

BUILD = os.path.abspath(
    os.environ.get("CODELAND_BUILD_FAULTS") or os.path.join(places.REPOSITORY, "build-faults")
)
WORKER = os.path.join(BUILD, "src/worker/codeland-worker")

_ROW = struct.Struct("=24s16sQQQQ")
_PASSED, _RAISED, _LEFT, _EVERY = (40 + 8 * index for index in range(4))


class Faults:
    """The file that a worker shares with us. It is made by the worker's first start."""

    def __init__(self, path):
        self.path = path
        self._map = None

    def open(self):
        with open(self.path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        rows = [_ROW.unpack_from(self._map, at) for at in range(0, len(self._map), _ROW.size)]
        names = [row[0].rstrip(b"\0").decode() for row in rows]
        self._at = {name: index * _ROW.size for index, name in enumerate(names)}
        self.phases = {name: row[1].rstrip(b"\0").decode() for name, row in zip(names, rows)}

    def _get(self, name, field):
        return struct.unpack_from("=Q", self._map, self._at[name] + field)[0]

    def _set(self, name, field, value):
        struct.pack_into("=Q", self._map, self._at[name] + field, value)

    def passed(self, name):
        return self._get(name, _PASSED)

    def raised(self, name):
        return self._get(name, _RAISED)

    def arm(self, name, left=1, every=0):
        """The passage `left` from now fails, and then each `every`th one."""
        self._set(name, _EVERY, every)
        self._set(name, _LEFT, left)

    def disarm(self, name):
        self._set(name, _EVERY, 0)
        self._set(name, _LEFT, 0)
