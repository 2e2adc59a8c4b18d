"""No open door: every route but two needs a token, and what holds the door is no root."""

import glob
import grp
import os
import pwd
import re
import stat

import pytest

from harness import host
from harness.check import check_error
from harness.http import Client

ROUTES = [
    ("GET", "/api/v1/runner"),
    ("GET", "/api/v1/runner?detail"),
    ("POST", "/api/v1/runner"),
    ("POST", "/api/v1/runner/run"),
    ("POST", "/api/v1/runner/new"),
    ("GET", "/api/v1/runner/demo"),
    ("POST", "/api/v1/runner/demo"),
    ("DELETE", "/api/v1/runner/demo"),
    ("GET", "/api/v1/worker"),
    ("GET", "/api/v1/worker/zombies"),
    ("DELETE", "/api/v1/worker/zombies"),
]


@pytest.mark.parametrize("method,path", ROUTES)
def test_every_route_needs_a_token(api, method, path):
    body = b'{"code": "echo in"}' if method == "POST" else None
    token = api.token
    wrong = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {token}"},
        {"Authorization": token},
        {"Authorization": "Bearer cl_" + "0" * 40},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Bearer {token}0"},
        {"Authorization": f"Bearer {token.upper()}"},
        {"Authorization": f"Bearer {token} {token}"},
        {"Authorization": "Bearer " + "x" * 20000},
        {"auth-token": ""},
        {"auth-token": "cl_" + "0" * 40},
        {"auth-token": f"Bearer {token}"},
        {"X-Auth-Token": token},
        {"Cookie": f"token={token}; auth-token={token}"},
    ]
    for headers in wrong:
        answer = api.plain(method, path, body, headers)
        error = check_error(answer, 401, "unauthorized")
        assert token not in answer.body.decode(), error


def test_a_token_in_the_address_is_none(api):
    for name in ("token", "auth-token", "access_token"):
        path = f"/api/v1/runner?{name}={api.token}"
        check_error(api.plain("GET", path), 401, "unauthorized")


@pytest.mark.parametrize("method,path", ROUTES)
def test_every_route_takes_either_header(api, method, path):
    body = b"{}" if method == "POST" else None
    for headers in (
        {"Authorization": f"Bearer {api.token}"},
        {"authorization": f"bearer {api.token}"},
        {"auth-token": api.token},
        {"AUTH-TOKEN": api.token},
    ):
        if (method, path.endswith("/new")) == ("POST", True):
            continue  # would make runners; the named runners' tests do
        answer = api.plain(method, path, body, headers)
        assert answer.status not in (401, 403), answer


def test_health_needs_none(api):
    for path in ("/healthz", "/readyz"):
        assert api.plain("GET", path).status == 200
        assert api.plain("GET", path, headers={"auth-token": "wrong"}).status == 200


def test_nothing_is_done_without_a_token(stack, api):
    api.post("/runner/new", {"name": "mine", "code": "touch mine"})
    stranger = Client(stack.address, "cl_" + "1" * 40)
    check_error(stranger.delete("/runner/mine"), 401, "unauthorized")
    check_error(stranger.post("/runner/mine", {"code": "touch theirs"}), 401, "unauthorized")
    check_error(stranger.post("/runner/new", {"name": "theirs"}), 401, "unauthorized")
    assert set(api.run("ls", on="mine")["stdout"].split()) - {"main.sh"} == {"mine"}
    assert api.get("/runner/theirs").status == 404
    api.delete("/runner/mine")


def test_a_stranger_learns_nothing_of_what_exists(stack, api):
    """The same answer for a runner that is there and one that is not."""
    api.post("/runner/new", {"name": "there"})
    stranger = Client(stack.address, "wrong")
    said = [stranger.get(f"/runner/{name}").json["message"] for name in ("there", "not-there")]
    assert said[0] == said[1]
    api.delete("/runner/there")


def test_a_stranger_cannot_make_us_read(api):
    """The refusal comes before the body, not after it."""
    with api.wire() as wire:
        wire.send(b"POST /api/v1/runner/run HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        check_error(wire.response(), 401, "unauthorized")


def test_the_admins_token(stack):
    path = os.path.join(stack.state_dir, "admin.token")
    about = os.stat(path)
    assert stat.S_IMODE(about.st_mode) == 0o600
    assert about.st_uid == 0
    assert re.fullmatch(r"cl_[0-9a-f]{40}", stack.token)


def test_the_token_is_stored_hashed(stack):
    files = [
        path
        for path in glob.glob(f"{stack.state_dir}/**", recursive=True)
        if os.path.isfile(path) and "/templates/" not in path and not path.endswith("admin.token")
    ]
    assert files
    for path in files:
        with open(path, "rb") as file:
            content = file.read()
        assert stack.token.encode() not in content, path
        assert bytes.fromhex(stack.token[3:]) not in content, path


def test_no_token_on_a_command_line_or_in_a_log(stack, api):
    api.run("echo hi")
    for pid in stack.processes():
        assert stack.token not in host.command_line(pid)
        assert stack.token not in host.read(f"/proc/{pid}/environ")
    for daemon in (stack.worker, stack.manager):
        assert not any(stack.token in line for line in daemon.lines())


def test_the_manager_is_no_root(stack):
    """Whatever it does with what it reads from the internet, it does as its own user."""
    pid = stack.manager.pid
    user = pwd.getpwnam("codeland")
    assert host.status_field(pid, "Uid").split() == [str(user.pw_uid)] * 4
    assert host.status_field(pid, "Gid").split() == [str(user.pw_gid)] * 4
    assert "0" not in host.status_field(pid, "Groups").split()
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(host.status_field(pid, name), 16) == 0, name
    assert host.status_field(pid, "NoNewPrivs") == "1"


def test_the_workers_socket(stack):
    """Root's and the manager's group's; and the worker listens on no network at all."""
    about = os.stat(stack.socket)
    assert stat.S_IMODE(about.st_mode) == 0o660
    assert about.st_uid == 0
    assert grp.getgrgid(about.st_gid).gr_name == "codeland"
    inodes = {
        os.readlink(f"/proc/{stack.worker.pid}/fd/{fd}")
        for fd in os.listdir(f"/proc/{stack.worker.pid}/fd")
    }
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in host.read(f"/proc/net/{table}").splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in inodes


def test_folders_are_closed_to_others(stack):
    """Journal and store are nobody's business."""
    assert stat.S_IMODE(os.stat(os.path.join(stack.state_dir, "manager")).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(os.path.join(stack.run_dir, "runners")).st_mode) == 0o700
