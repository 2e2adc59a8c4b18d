"""How a host is reached: names and keys of ssh's own settings, and another host on the way."""

import subprocess

import pytest

from harness import places
from harness.hosts import Host, Manager
from harness.wait import eventually

UP = 60


def known(host):
    """Its line in a known_hosts."""
    with open(f"{host.host_key}.pub", encoding="ascii") as file:
        return f"{host.address} {file.read()}"


def cli(manager, *words, code=0):
    done = subprocess.run([places.CODELAND, "worker", *words, *manager.options()], timeout=180,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def manager(template):
    """Its ssh has a settings file; nothing is in it yet."""
    with Manager([("nowhere", {"socket": "/run/nowhere/worker.sock"})]) as one:
        one.ssh_config = f"{one.folder}/ssh_config"
        one.known_hosts = f"{one.folder}/known_hosts"
        write(one.ssh_config, "")
        write(one.known_hosts, "")
        one.settings["ssh.config"] = one.ssh_config
        one.manager.argv = [places.CODELAND, "serve", *one.options()]
        yield one.start()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_a_jump_host(manager):
    """The gate is a name of ssh's settings, the host behind it is given in full. Each key is checked,
    the gate's by those settings.
    """
    with Host(authorized=manager.public_key) as gate, Host(
        authorized=manager.public_key, behind=gate
    ) as inner:
        gate.start()
        inner.start().start_worker()
        write(manager.ssh_config, f"Host gate\n HostName {gate.address}\n User root\n"
                                  f" IdentityFile {manager.identity}\n"
                                  f" UserKnownHostsFile {manager.known_hosts}\n")
        add = ("add", "inner", "--ssh", inner.target, "--jump", "gate", "--identity",
               manager.identity, "--accept-key", inner.fingerprint)
        said = cli(manager, *add, code=1)
        assert "a host on the way is not known" in said, said
        assert gate.logins() == 0 and "publickey" not in gate.log()

        write(manager.known_hosts, known(gate))
        said = cli(manager, *add)
        assert "inner takes runs" in said, said
        assert manager.api.run("echo behind")["stdout"] == "behind\n"
        assert gate.logins() > 0 and inner.logins() > 0
        spec = manager.api.get("/workers/inner").json["spec"]
        assert spec["jump"] == "gate" and spec["ssh"] == inner.target, spec

        # The gate goes and comes back; so does the way through it.
        ups = lambda: len(manager.manager.events("worker up"))
        before = ups()
        gate.kill_sessions()
        eventually(lambda: ups() > before, "the way is there again", UP)
        assert manager.api.run("echo again")["stdout"] == "again\n"
        cli(manager, "rm", "inner")


def test_a_host_by_the_settings_of_ssh_alone(manager):
    """Name, port, user, key, known key and a proxy: the worker's own words are one."""
    with Host(authorized=manager.public_key, sshd="Port 2022\n") as one:
        one.start().start_worker()
        write(manager.known_hosts, "lab " + known(one).split(" ", 1)[1])
        write(manager.ssh_config, f"Host lab\n HostName {one.address}\n Port 2022\n User root\n"
                                  f" IdentityFile {manager.identity}\n HostKeyAlias lab\n"
                                  f" UserKnownHostsFile {manager.known_hosts}\n"
                                  " StrictHostKeyChecking no\n")
        said = cli(manager, "add", "lab", "--ssh", "lab")
        assert "lab takes runs" in said, said
        assert manager.api.run("echo named")["stdout"] == "named\n"

        # What the settings say of unknown keys does not count: ours are always checked.
        write(manager.known_hosts, "")
        one.kill_sessions()
        refused = lambda: "has not been accepted" in (
            manager.api.get("/workers/lab").json["link"]["lastError"] or "")
        eventually(refused, "the key is refused", UP)
        cli(manager, "rm", "lab")


def test_what_ssh_says_is_told_without_secrets(manager):
    """What a proxy on the way says is shown, but for its password."""
    write(manager.ssh_config, "Host secret\n ProxyCommand sh -c \"echo 'http://joe:hunter2@proxy "
                              "refuses, token=cl_12345' >&2; exec sleep 1000\"\n")
    answer = manager.api.post("/workers", {"name": "secret", "ssh": "root@secret"})
    assert answer.status == 201, answer

    def told():
        line = manager.api.get("/workers/secret").json["link"]["lastLine"]
        return line and "refuses" in line and line

    assert eventually(told, "what the proxy said", UP) == "http://***@proxy refuses, token=***"
    for text in (cli(manager, "show", "secret"), "\n".join(manager.manager.lines())):
        assert "hunter2" not in text and "cl_12345" not in text, text
    cli(manager, "rm", "secret")


@pytest.mark.parametrize("name, sshd", [("forced", "ForceCommand /bin/false"), ("none", "MaxSessions 0")])
def test_a_login_that_runs_nothing(manager, name, sshd):
    """The link is no more than a forward then: of the same ssh, or, if that has ended already, the next."""
    with Host(authorized=manager.public_key, sshd=f"{sshd}\n") as one:
        one.start().start_worker()
        body = {"name": name, "ssh": one.target, "identity": manager.identity,
                "hostKey": one.fingerprint}
        assert manager.api.post("/workers", body).status == 201

        def runs():
            answer = manager.api.post("/runner/run", {"code": "echo without"})
            return answer.status == 200 and answer.json["stdout"] == "without\n"

        eventually(runs, "a run without a session", UP)
        assert not one.processes("cat")
        cli(manager, "rm", name)


def test_a_session_ends_with_the_link(manager):
    """What waits at the host is one process, and is gone with the worker, and with the manager."""
    with Host(authorized=manager.public_key) as one:
        one.start().start_worker()
        body = {"name": "held", "ssh": one.target, "identity": manager.identity,
                "hostKey": one.fingerprint}

        def add():
            assert manager.api.post("/workers", body).status == 201
            eventually(lambda: len(one.processes("cat")) == 1, "the session waits", UP)

        add()
        cli(manager, "rm", "held")
        eventually(lambda: not one.processes("cat"), "it has ended", UP)
        add()
        manager.manager.kill()
        eventually(lambda: not one.processes("cat"), "it has ended with the manager", UP)
        manager.manager.start()
        eventually(lambda: len(one.processes("cat")) == 1, "the session waits again", UP)
        eventually(lambda: cli(manager, "rm", "held"), "the manager answers", UP)
        eventually(lambda: not one.processes("cat"), "it has ended", UP)
