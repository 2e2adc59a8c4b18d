"""`codeland template build`, with the real mmdebstrap: what is made, and what a failure leaves."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from harness import host, places
from harness.wait import eventually


def build_argv(state_dir, name="base"):
    return [places.CODELAND, "template", "build", name, "--set", f"paths.state_dir={state_dir}"]


def build(state_dir, prefix=(), env=None):
    return subprocess.run(
        [*prefix, *build_argv(state_dir)], capture_output=True, text=True, timeout=600,
        env={**os.environ, **(env or {})}, check=False,
    )


def start(state_dir):
    return subprocess.Popen(build_argv(state_dir), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def builders(state_dir):
    """What still works on a template below that folder."""
    return [pid for pid in host.find_processes(str(state_dir)) if host.is_alive(pid)]


def templates(state_dir):
    return sorted(os.listdir(os.path.join(state_dir, "templates")))


@pytest.fixture
def old(tmp_path):
    """A state folder with something in the template's place."""
    os.makedirs(tmp_path / "templates/base/rootfs")
    (tmp_path / "templates/base/mark").write_text("old")
    yield tmp_path
    shutil.rmtree(tmp_path / "templates")  # pytest would keep it, and it is large


@contextlib.contextmanager
def locked(folder):
    """As a runner's monitor locks the root file system that it is made from."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def is_old(state_dir):
    return (state_dir / "templates/base/mark").exists() and templates(state_dir) == ["base"]


def walk(root):
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            yield path, os.lstat(path)


def test_what_is_in_it(template):
    rootfs = os.path.join(template, "rootfs")
    with open(os.path.join(template, "template.json"), encoding="utf-8") as file:
        about = json.load(file)
    assert about["format"] == 1 and about["name"] == "base"
    assert re.fullmatch(r"debian [a-z]+ [a-z0-9]+", about["from"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["made"])
    names = {package["name"] for package in about["packages"]}
    assert {"python3", "perl", "gawk", "sqlite3", "dash"} <= names
    assert all(package["version"] for package in about["packages"])
    assert 50_000_000 < about["sizeBytes"] < 400_000_000

    with open(os.path.join(rootfs, "etc/passwd"), encoding="utf-8") as file:
        assert "runner:x:1000:1000::/home/runner:/bin/sh\n" in file
    home = os.stat(os.path.join(rootfs, "home/runner"))
    assert (home.st_uid, home.st_gid) == (1000, 1000)
    assert os.path.getsize(os.path.join(rootfs, "usr/libexec/crunner")) == 0
    assert os.listdir(os.path.join(rootfs, "run/codeland")) == []
    for name in ("etc/resolv.conf", "etc/machine-id"):
        assert os.path.getsize(os.path.join(rootfs, name)) == 0


def test_no_way_to_other_rights_and_nothing_of_this_host(template):
    rootfs = os.path.join(template, "rootfs")
    for path, about in walk(rootfs):
        if stat.S_ISREG(about.st_mode):
            assert not about.st_mode & (stat.S_ISUID | stat.S_ISGID), path
            assert "security.capability" not in os.listxattr(path, follow_symlinks=False), path
        assert not stat.S_ISCHR(about.st_mode) and not stat.S_ISBLK(about.st_mode), path
    assert not os.path.exists(os.path.join(rootfs, "etc/hostname"))


def test_python_needs_to_compile_nothing(template):
    library = os.path.join(template, "rootfs/usr/lib/python3.11")
    for folder, _, files in os.walk(library):
        for name in files:
            if name.endswith(".py"):
                compiled = f"{folder}/__pycache__/{name[:-3]}.cpython-311.pyc"
                assert os.path.exists(compiled), f"{folder}/{name}"


def test_it_replaces_the_old_one_at_once(old):
    # Two that were replaced before: a runner lives on one of them.
    for name in ("base.old", "base.old2"):
        (old / "templates" / name / "rootfs").mkdir(parents=True)
    with locked(old / "templates/base.old/rootfs"):
        made = build(old)
    assert made.returncode == 0, made.stdout + made.stderr
    lines = made.stdout.splitlines()
    assert any(re.match(r"template: extracting .*\(\d+ %, ", line) for line in lines)
    assert re.match(r"template: base, \d+ MB, \d+ packages, made in ", lines[-2])
    # Runners that live on the old one keep it until nobody needs it.
    assert templates(old) == ["base", "base.old", "base.old2"]
    assert os.listdir(old / "templates/base.old/rootfs") == []
    assert (old / "templates/base.old2/mark").exists()
    listed = subprocess.run(
        [places.CODELAND, "template", "ls", "--set", f"paths.state_dir={old}"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    assert len(listed) == 2 and listed[1].startswith("base ") and "debian" in listed[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_changes_nothing(old, number):
    process = start(old)
    eventually(lambda: (old / "templates/base.new/rootfs/var").exists(), "it has begun")
    process.send_signal(number)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1
    assert "base: interrupted; nothing was changed" in output
    assert is_old(old) and builders(old) == [] and host.mounts(str(old)) == []


def test_a_killed_build_leaves_only_what_the_next_removes(old):
    process = start(old)
    eventually(lambda: (old / "templates/base.new/rootfs/var").exists(), "it has begun")
    second = build(old)
    assert second.returncode == 1
    assert "another template is being built or imported in" in second.stdout
    process.kill()
    process.communicate()
    eventually(lambda: builders(old) == [], "mmdebstrap is gone too")
    assert host.mounts(str(old)) == []
    assert templates(old) == ["base", "base.new"] and (old / "templates/base/mark").exists()
    third = build(old, env={"http_proxy": "http://127.0.0.1:1"})
    assert third.returncode == 1 and is_old(old)


def test_a_download_that_fails_is_told(old):
    failed = build(old, env={"http_proxy": "http://127.0.0.1:1"})
    assert failed.returncode == 1
    assert "while fetching the lists of packages: Failed to fetch http" in failed.stdout
    assert f"(all of it: {old}/log/template-base.log)" in failed.stdout
    assert is_old(old)


def test_a_full_disk_is_told(tmp_path):
    mount = f'mount -t tmpfs -o size=120m tmpfs {tmp_path} && "$@"; rc=$?; ls {tmp_path}/templates; exit $rc'
    failed = build(tmp_path, prefix=["unshare", "--mount", "sh", "-c", mount, "sh"])
    assert failed.returncode == 1
    assert "No space left on device" in failed.stdout
    assert failed.stdout.endswith(f"(all of it: {tmp_path}/log/template-base.log)\n")  # and no folder


def test_without_mmdebstrap_it_says_how_to_get_it(old):
    hide = 'mount --bind /dev/null /usr/bin/mmdebstrap && exec "$@"'
    failed = build(old, prefix=["unshare", "--mount", "sh", "-c", hide, "sh"])
    assert failed.returncode == 1
    assert "mmdebstrap is not installed; install it: apt-get install mmdebstrap" in failed.stdout
    assert is_old(old)


def remove(state_dir, name):
    return subprocess.run(
        [places.CODELAND, "template", "rm", name, "--set", f"paths.state_dir={state_dir}"],
        capture_output=True, text=True, timeout=60, check=False)


def test_one_is_removed_alone(old):
    os.makedirs(old / "templates/other/rootfs")
    gone = remove(old, "base")
    assert (gone.returncode, gone.stdout) == (0, "base is gone\n"), gone.stderr
    assert templates(old) == ["other"]
    again = remove(old, "base")
    assert again.returncode == 1 and "templates/base: No such file" in again.stderr
    bad = remove(old, "../other")
    assert bad.returncode == 1 and "is no template's name" in bad.stderr
    assert templates(old) == ["other"]


def test_what_runners_live_on_goes_after_them(old):
    # A runner's monitor holds this lock for as long as it lives.
    root = os.open(old / "templates/base/rootfs", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(root, fcntl.LOCK_SH)
        gone = remove(old, "base")
        assert gone.returncode == 0 and "once the runners" in gone.stdout, gone.stderr
        assert templates(old) == ["base.old"]
    finally:
        os.close(root)
    os.makedirs(old / "templates/other/rootfs")
    assert remove(old, "other").returncode == 0
    assert templates(old) == []
