"""The same worker over SSH: an sshd in a network namespace of its own, and a manager that reaches
the worker's socket through it; beside them what ssh costs without CodeLand."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import stack as stacks

SSHD = "/usr/sbin/sshd"
NETNS = "codeland-bench"
DEVICE = "clbench0"
HERE, THERE = "198.18.255.1", "198.18.255.2"
SETTINGS = """
ListenAddress 0.0.0.0
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PidFile none
"""


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def make_key(path):
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path)


def fingerprint(path):
    return subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True,
                          text=True).stdout.split()[1]


class Far(contextlib.AbstractContextManager):
    """`with Far(stack) as far:` has far.host running, and a second manager at far.port."""

    http_request = stacks.Stack.http_request
    post = stacks.Stack.post

    def __init__(self, stack):
        self.stack = stack
        self.folder = stack.state / "far"
        self.key = self.folder / "state/manager/ssh/bench.key"
        self.sshd = self.manager = self.master = None
        self.port = self.token = None
        self.socket = self.folder / "state/manager/ssh/far.sock"  # ssh's, of its manager

    def __enter__(self):
        try:
            self._start_host()
            self._start_manager()
            self._start_master()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        for process in (self.master, self.manager, self.sshd):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        subprocess.run(["ip", "link", "del", DEVICE], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", NETNS], check=False, stderr=subprocess.DEVNULL)

    def _start_host(self):
        self.key.parent.mkdir(parents=True)
        make_key(self.key)
        make_key(self.folder / "host_key")
        shutil.copy(f"{self.key}.pub", self.folder / "authorized_keys")
        for path in (self.key.parent.parent, self.key.parent, self.key):
            shutil.chown(path, "codeland", "codeland")
        (self.folder / "sshd_config").write_text(SETTINGS.format(folder=self.folder))
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"{THERE} {host_key}")
        run("ip", "netns", "add", NETNS)
        run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", "eth0", "netns", NETNS)
        run("ip", "addr", "add", f"{HERE}/30", "dev", DEVICE)
        run("ip", "link", "set", DEVICE, "up")
        run("ip", "-n", NETNS, "addr", "add", f"{THERE}/30", "dev", "eth0")
        run("ip", "-n", NETNS, "link", "set", "eth0", "up")
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        # What this machine's root has its shell do at each login is not ssh's to answer for.
        passwd = self.folder / "passwd"
        passwd.write_text("".join(
            line.rsplit(":", 1)[0] + ":/bin/sh\n" if line.startswith("root:") else line
            for line in open("/etc/passwd", encoding="utf-8")))
        start = f"mount --bind {passwd} /etc/passwd && exec {SSHD} -D -e -f {self.folder}/sshd_config"
        self.sshd = self._spawn("nsenter", f"--net=/run/netns/{NETNS}", "unshare", "--mount",
                                "sh", "-c", start)
        stacks.wait_for("an sshd", self._answers)

    def _spawn(self, *words):
        with open(self.stack.log, "ab") as log:
            return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, start_new_session=True,
                                    preexec_fn=stacks.end_with_us)

    @staticmethod
    def _answers():
        try:
            with socket.create_connection((THERE, 22), 1) as conn:
                return conn.recv(4) == b"SSH-"
        except OSError:
            return False

    def _start_manager(self):
        config = self.folder / "codeland.conf"
        config.write_text(f"[worker-host far]\nssh = root@{THERE}\nidentity = {self.key}\n"
                          f"host_key = {fingerprint(self.folder / 'host_key.pub')}\n"
                          f"socket = {self.stack.socket}\n")
        self.port = stacks.free_port()
        state = self.folder / "state"
        settings = {"paths.state_dir": state, "paths.run_dir": self.folder, "log.level": "warn",
                    "http.listen": f"127.0.0.1:{self.port}"}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        self.manager = self._spawn(self.stack.build / "src/cli/codeland", "serve", "--config",
                                   config, *words)
        stacks.wait_for("the second manager", lambda: stacks.ready(self.port))
        self.token = (state / "admin.token").read_text().strip()

    # ---- ssh alone ----

    def ssh(self, *options):
        """A login and a command, as a person would have it."""
        return ["ssh", "-F", "none", "-i", self.key, "-o", f"UserKnownHostsFile={self.folder}/known_hosts",
                "-o", "BatchMode=yes", *options, f"root@{THERE}"]

    def _start_master(self):
        path = self.folder / "master"
        self.master = self._spawn(*self.ssh("-M", "-N", "-o", f"ControlPath={path}"))
        stacks.wait_for("a ControlMaster", path.exists)

    def shared(self):
        return self.ssh("-o", f"ControlPath={self.folder}/master")

    def connections(self):
        """How many connections to the worker its manager holds, those kept ready among them."""
        lines = pathlib.Path("/proc/net/unix").read_text().splitlines()
        established = "03"
        return sum(1 for line in lines if line.endswith(f" {self.socket}") and
                   line.split()[5] == established)
