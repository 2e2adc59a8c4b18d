"""Worker hosts on one machine: each has a network, mounts, processes and a name of its own, an sshd
with a host key of its own, and its own settings, state, id range and prefix. Nothing of them
remains on the machine.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess

from . import host, places
from .stack import IDS_EACH, RUNNERS_MOST, Stack
from .wait import eventually

INIT = os.path.join(os.path.dirname(__file__), "host_init.py")


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more)


def make_key(path, kind="ed25519"):
    """A key pair; returns the text of its public half."""
    for name in (path, f"{path}.pub"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "codeland", "-f", path)
    with open(f"{path}.pub", encoding="ascii") as file:
        return file.read()


def fingerprint(path):
    return run("ssh-keygen", "-lf", path).stdout.split()[1]


class Host:
    """sshd: more lines of its settings, which come first and so win. disk: bytes of /var/lib/codeland;
    without: this machine's. without: a package that this host does not know to have. behind: the
    host, started already, from which alone this one can be reached.
    """

    def __init__(self, authorized="", sshd="", disk=0, without=None, template=places.TEMPLATE,
                 behind=None):
        self.slot = places.Slot()
        self.name = self.prefix = self.slot.name
        self.here, self.address = (f"198.18.{self.slot.number}.{last}" for last in (1, 2))
        self.device = f"clv{self.slot.number}"
        self.folder = os.path.join(places.STATE, "hosts", self.name)
        self.init = None
        self._disk = disk
        self._template = template
        self._behind = behind
        for part in ("etc", "state"):
            os.makedirs(os.path.join(self.folder, part), mode=0o755)
        self.host_key = os.path.join(self.folder, "host_key")
        make_key(self.host_key)
        self.write("authorized_keys", authorized)
        self.write("sshd_config", sshd + self._sshd_config())
        self.write("etc/codeland.conf", self._settings())
        if without:
            self.write("dpkg-status", self._status_without(without))

    def _sshd_config(self):
        return f"""
Port 22
ListenAddress 0.0.0.0
HostKey {self.host_key}
AuthorizedKeysFile {self.folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
# A third of a login's processor time is saved, of which these tests have some two hundred.
KexAlgorithms curve25519-sha256
PidFile none
MaxStartups 1000
LogLevel VERBOSE
"""

    def _settings(self):
        base = 1_200_000_000 + self.slot.number * RUNNERS_MOST * IDS_EACH
        return f"""
[worker]
name = {self.slot.name}
prefix = {self.prefix}
id_base = {base}
[oven]
min_available = 2
mem_target = 0
max_runners = {RUNNERS_MOST}
"""

    @staticmethod
    def _status_without(package):
        with open("/var/lib/dpkg/status", encoding="utf-8") as file:
            entries = file.read().split("\n\n")
        return "\n\n".join(one for one in entries if not one.startswith(f"Package: {package}\n"))

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    @property
    def fingerprint(self):
        return fingerprint(f"{self.host_key}.pub")

    @property
    def target(self):
        return f"root@{self.address}"

    # ---- life ----

    def start(self):
        near = ["ip", "-n", self._behind.name] if self._behind else ["ip"]
        run("ip", "netns", "add", self.name)
        # One that was killed before it could clean up had our slot, and left its cable.
        subprocess.run([*near, "link", "del", self.device], check=False, capture_output=True)
        run(*near, "link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run(*near, "addr", "add", f"{self.here}/30", "dev", self.device)
        run(*near, "link", "set", self.device, "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/30", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        self.boot()
        return self

    def boot(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/up")
        words = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "--pid", "--uts",
                 "--ipc", "--fork", "--kill-child", "--mount-proc", "/usr/bin/python3", INIT,
                 self.folder, self.address, str(self._disk)]
        with open(f"{self.folder}/init.log", "ab") as log:
            self.init = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         start_new_session=True)
        eventually(lambda: os.path.exists(f"{self.folder}/up"), "the host is up")
        eventually(lambda: b"SSH-2.0" in self._banner(), "its sshd listens")
        if self._template:
            self.exec("mkdir", "-p", "/var/lib/codeland/templates")
            self.exec("ln", "-sfn", self._template, "/var/lib/codeland/templates/base")
        return self

    def _banner(self):
        words = ["nsenter", f"--net=/run/netns/{self.name}", "bash", "-c",
                 f"exec 3<>/dev/tcp/{self.address}/22; head -n1 <&3"]
        return subprocess.run(words, capture_output=True, timeout=10, check=False).stdout

    @property
    def pid(self):
        """Of the host's first process, in our own numbers."""
        return host.children(self.init.pid)[0]

    def enter(self, *words):
        return ["nsenter", "-t", str(self.pid), "--mount", "--net", "--pid", "--uts", "--ipc", *words]

    def exec(self, *words, check=True):
        return subprocess.run(self.enter(*words), check=check, capture_output=True, text=True)

    def start_worker(self, program=places.WORKER):
        """As an administrator would who installed it by hand."""
        with open(f"{self.folder}/worker.log", "ab") as log:
            subprocess.Popen(self.enter(program), stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, start_new_session=True)
        self.wait_worker()
        return self

    def wait_worker(self):
        there = ("test", "-S", "/run/codeland/worker.sock")
        eventually(lambda: self.exec(*there, check=False).returncode == 0, "its worker listens")

    def processes(self, name):
        """Our pids of the host's processes of that name."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for pid in host.pids():
            with contextlib.suppress(OSError):
                if (os.readlink(f"/proc/{pid}/ns/pid") == space
                        and host.status_field(pid, "Name") == name):
                    found.append(pid)
        return found

    def kill_sessions(self):
        """Every login's sshd, and the listening one."""
        for pid in self.processes("sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self):
        """Everything at once but its first process."""
        self.exec("sh", "-c", "kill -9 -1", check=False)

    def link_down(self):
        """On the host's side: nobody here is told."""
        run("ip", "-n", self.name, "link", "set", "eth0", "down")

    def link_up(self):
        run("ip", "-n", self.name, "link", "set", "eth0", "up")

    def log(self):
        return host.read(f"{self.folder}/sshd.log")

    def logins(self):
        return len(re.findall("Accepted publickey", self.log()))

    def stop(self):
        if self.init and self.init.poll() is None:
            for pid in host.children(self.init.pid):
                os.kill(pid, signal.SIGKILL)
            self.init.kill()
        if self.init:
            self.init.wait()

    def close(self):
        self.stop()
        subprocess.run(["ip", "link", "del", self.device], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)

        def no_cgroups():
            for folder in sorted(host.cgroups(self.prefix), key=len, reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not host.cgroups(self.prefix)

        eventually(no_cgroups, "no cgroup of the host is left")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.slot.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Manager(Stack):
    """A manager alone, with workers that its settings name. hosts: [(name, {key: value})]."""

    def __init__(self, hosts=(), settings=None):
        self.config = None
        super().__init__(settings, template=None)
        folder = os.path.join(self.state_dir, "manager/ssh")
        os.makedirs(folder)
        self.identity = os.path.join(folder, "test.key")
        self.public_key = make_key(self.identity)
        self.config = os.path.join(self.folder, "codeland.conf")
        self.name_hosts(hosts)
        for at in (os.path.dirname(folder), folder, self.identity):
            shutil.chown(at, "codeland", "codeland")
            os.chmod(at, 0o600 if at == self.identity else 0o700)
        self.manager.argv = [places.CODELAND, "serve", *self.options()]

    def name_hosts(self, hosts):
        with open(self.config, "w", encoding="utf-8") as file:
            for name, keys in hosts:
                lines = [f"{key} = {value}\n" for key, value in keys.items()]
                file.write(f"[worker-host {name}]\n" + "".join(lines))

    def options(self):
        return super().options() + (["--config", self.config] if self.config else [])

    def reach(self, one, **more):
        """What the settings say of a host, its key accepted."""
        return {"ssh": one.target, "identity": self.identity, "host_key": one.fingerprint, **more}

    def start(self):
        self.manager.start()
        self.wait_serving()
        return self
