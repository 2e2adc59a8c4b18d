"""Where the programs are, and where this test run keeps its files.

CODELAND_BUILD       the build folder (default: build in the repository)
CODELAND_BUILD_SAN   that of the unit tests, with the agent that turns evil (default: build-san)
CODELAND_TEST_STATE  what is kept from one test run to the next (default /var/tmp/codeland-test):
                     the template, made by the project's own `codeland template build`
"""

import contextlib
import fcntl
import os
import socket
import subprocess

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
BUILD = os.path.abspath(os.environ.get("CODELAND_BUILD") or os.path.join(REPOSITORY, "build"))
BUILD_SAN = os.path.abspath(
    os.environ.get("CODELAND_BUILD_SAN") or os.path.join(REPOSITORY, "build-san")
)
STATE = os.path.abspath(os.environ.get("CODELAND_TEST_STATE") or "/var/tmp/codeland-test")

CODELAND = os.path.join(BUILD, "src/cli/codeland")
WORKER = os.path.join(BUILD, "src/worker/codeland-worker")
EVIL_AGENT = os.path.join(BUILD_SAN, "tests/unit/worker/evil_agent")
TEMPLATE = os.path.join(STATE, "templates/base")

SLOTS = 200


@contextlib.contextmanager
def _locked(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_template(name="base"):
    """Builds a template when it is not there yet, or its recipe or languages have changed."""
    os.makedirs(STATE, mode=0o755, exist_ok=True)
    with _locked(os.path.join(STATE, "lock/template")):
        build = [CODELAND, "template", "build", name, "--set", f"paths.state_dir={STATE}"]
        made = subprocess.run(build, capture_output=True, text=True, timeout=900, check=False)
        assert made.returncode == 0, made.stdout + made.stderr


class Slot:
    """A number that no other test process on this machine has at the same time. Addresses and user
    ids are made from it, so that stacks side by side have nothing in common. It is held by the name
    of a socket, which goes with the process, however that ends.
    """

    _used = 0

    def __init__(self):
        self._socket = socket.socket(socket.AF_UNIX)
        for self.number in range(SLOTS):
            try:
                self._socket.bind(f"\0codeland-test-{self.number}")
                break
            except OSError:
                continue
        else:
            raise AssertionError(f"more than {SLOTS} stacks at once")
        Slot._used += 1
        # What an earlier holder of the slot left must not be taken for this one's.
        self.name = f"clt{self.number}-{os.getpid()}-{Slot._used}"
        self.address = (f"127.83.{self.number}.1", 8080)

    def release(self):
        self._socket.close()
