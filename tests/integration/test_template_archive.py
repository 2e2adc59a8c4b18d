"""`codeland template export` and `import`: a template goes to another place, runs there, and what
is hostile or half does not.
"""

import io
import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import tempfile

import pytest

from harness import host, places
from harness.link import run
from harness.stack import Stack
from harness.wait import eventually


def template(state_dir, *words, prefix=(), **kwargs):
    argv = [*prefix, places.CODELAND, "template", *words, "--set", f"paths.state_dir={state_dir}"]
    kwargs = {"capture_output": True, "timeout": 300, "check": False, **kwargs}
    return subprocess.run(argv, **kwargs)


def templates(state_dir):
    folder = os.path.join(state_dir, "templates")
    return sorted(os.listdir(folder)) if os.path.exists(folder) else []


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The base template as a file."""
    folder = tmp_path_factory.mktemp("archive")
    made = template(places.STATE, "export", "base", str(folder / "base.tar.zst"), text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert os.listdir(folder) == ["base.tar.zst"]
    yield folder / "base.tar.zst", made.stdout
    shutil.rmtree(folder)


def sum_in(text):
    return text.split("; sum ")[1].split()[0]


def test_one_that_was_handed_on_runs_and_is_the_same(archive):
    path, said = archive
    with Stack({"oven.min_available": 1}) as stack:
        stack.start()
        with open(path, "rb") as file:
            made = template(stack.state_dir, "import", "-", "--as", "copy", stdin=file)
        assert made.returncode == 0, made.stdout
        assert sum_in(made.stdout.decode()) == sum_in(said)
        eventually(lambda: run(stack.socket, "true", template="copy").end == "RESULT",
                   "the worker has noticed it")
        outcome = run(stack.socket, "python3", "-c", "print(6 * 7)", template="copy")
        assert outcome.stdout == b"42\n", outcome
        outcome = run(stack.socket, "stat", "-c", "%U %a", "/home/runner", "/tmp", template="copy")
        assert outcome.stdout == b"runner 755\nroot 1777\n", outcome
        listed = template(stack.state_dir, "ls", text=True).stdout
        assert "copy " in listed


# ---- hostile ones, made by tarfile -------------------------------------------------------------

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def entry(name, kind=tarfile.REGTYPE, mode=0o644, link="", data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar_of(*entries, **manifest):
    about = {"codelandTemplate": 1, "name": "evil", "architecture": ARCHITECTURE,
             "entries": len(entries) + 1, "bytes": sum(len(data) for _, data in entries), **manifest}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in [entry("codeland-archive.json", data=json.dumps(about).encode()),
                           entry("rootfs", tarfile.DIRTYPE, 0o755), *entries]:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LINK = entry("rootfs/out", tarfile.SYMTYPE, link="/tmp")

HOSTILE = {
    "absolute": (tar_of(entry("/etc/cron.d/x")), "must be relative"),
    "upwards": (tar_of(entry("rootfs/../../x")), 'must not hold the components "." and ".."'),
    "beside": (tar_of(entry("x")), '"x": is neither template.json nor in rootfs'),
    "through a link": (tar_of(LINK, entry("rootfs/out/codeland-evil", data=b"x")),
                       "is not in a folder that came before it, and a link is none"),
    "a link replaced": (tar_of(LINK, entry("rootfs/out", data=b"x")), "is there twice"),
    "another's file": (tar_of(entry("rootfs/a", tarfile.LNKTYPE, link="/etc/shadow")),
                       "must be relative"),
    "another's file, behind a link": (
        tar_of(entry("rootfs/etc", tarfile.SYMTYPE, link="/etc"),
               entry("rootfs/a", tarfile.LNKTYPE, link="rootfs/etc/shadow")),
        "which is no file that came before"),
    "device": (tar_of(entry("rootfs/sda", tarfile.BLKTYPE, devmajor=8)), "is a block device"),
    "set-user-id": (tar_of(entry("rootfs/su", mode=0o4755)), "is a set-user-id"),
    "capability": (tar_of(entry("rootfs/ping", pax_headers={
        "SCHILY.xattr.security.capability": "x"})), "security.capability"),
    "owner": (tar_of(entry("rootfs/a", uid=100000)), "its owner 100000:0 is out of bounds (0..65535)"),
    "twice": (tar_of(entry("rootfs/a"), entry("rootfs/a")), '"rootfs/a" is there twice'),
    "deep": (tar_of(entry("rootfs" + "/d" * 70)), "is 71 folders deep, at most 64 are allowed"),
    "long": (tar_of(entry("rootfs/" + "d" * 300)), "at most 255 are allowed"),
    "more entries": (tar_of(entry("rootfs/a"), entry("rootfs/b"), entries=2),
                     "there are more than the manifest's 2 entries"),
    "more bytes": (tar_of(entry("rootfs/a", data=b"12345"), bytes=4),
                   "there are more than the manifest's 4 bytes"),
    "all the entries": (tar_of(entries=2000001), "entries: 2000001 is out of bounds, must be 1..2000000"),
    "all the bytes": (tar_of(bytes=2**37), "bytes: 137438953472 is out of bounds"),
    "later format": (tar_of(codelandTemplate=2), "its format is 2, this program's is 1"),
    "other machine": (tar_of(architecture="vax"), 'it is of the architecture "vax"'),
    "cut off": (tar_of(entry("rootfs/a"))[:2600], "damaged or cut off"),
    "no sum": (tar_of(entry("rootfs/a")), "damaged or cut off"),
    "no archive": (b"#!/bin/sh\n" * 100, "this is no archive of a template"),
    "nothing": (b"", "this is no archive of a template"),
}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A state folder with something in the template's place."""
    folder = tmp_path_factory.mktemp("old")
    os.makedirs(folder / "templates/evil/rootfs")
    (folder / "templates/evil/mark").write_text("old")
    return folder


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_one_is_refused_and_changes_nothing(old, what):
    data, words = HOSTILE[what]
    refused = template(old, "import", "-", input=data)
    assert refused.returncode == 1 and words in refused.stdout.decode(), refused.stdout
    assert templates(old) == ["evil"] and (old / "templates/evil/mark").exists()
    assert not os.path.exists("/tmp/codeland-evil")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_one_changes_nothing(archive, old, number):
    """It gets the half of an archive and waits for the rest, which never comes."""
    argv = [places.CODELAND, "template", "import", "-", "--as", "evil",
            "--set", f"paths.state_dir={old}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        size = archive[0].stat().st_size
        with open(archive[0], "rb") as file:
            process.stdin.write(file.read(size // 2))
        process.stdin.flush()
        eventually(lambda: (old / "templates/import.new/rootfs/etc").exists(), "it has begun")
        process.send_signal(number)
        output = process.stdout.read().decode()
        process.stdin.close()
    eventually(lambda: not [pid for pid in host.find_processes(str(old)) if host.is_alive(pid)],
               "its child has ended, too")
    assert (old / "templates/evil/mark").exists()
    if number == signal.SIGKILL:
        assert process.returncode == -number
        assert template(old, "import", "-", input=b"").returncode == 1  # and it sweeps
    else:
        assert process.returncode == 1 and "interrupted; nothing was changed" in output
    assert templates(old) == ["evil"]


def test_a_full_disk_is_told(archive, tmp_path):
    mount = f'mount -t tmpfs -o size=20m tmpfs {tmp_path} && "$@"; rc=$?; ls {tmp_path}/templates; exit $rc'
    small = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    failed = template(tmp_path, "import", str(archive[0]), prefix=small, text=True)
    assert failed.returncode == 1
    assert "MB, and the disk has room for 2" in failed.stdout
    assert failed.stdout.splitlines()[-1].startswith("template: failed: ")  # and no folder


def test_an_export_that_fails_leaves_no_file(tmp_path):
    mount = f'mount -t tmpfs -o size=10m tmpfs {tmp_path} && "$@"; rc=$?; ls -A {tmp_path}; exit $rc'
    small = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    failed = template(places.STATE, "export", "base", f"{tmp_path}/x", prefix=small, text=True)
    assert failed.returncode == 1
    assert failed.stdout.endswith("cannot write the archive: No space left on device\n")
    gone = template(places.STATE, "export", "nothing", f"{tmp_path}/x", text=True)
    assert gone.returncode == 1 and "make it: sudo codeland template build nothing" in gone.stdout
    assert os.listdir(tmp_path) == []


def as_nobody(*words):
    return subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", places.CODELAND,
         "template", *words], capture_output=True, text=True, timeout=60, check=False)


def test_what_needs_root_says_sudo():
    with tempfile.TemporaryDirectory(prefix="codeland-test-") as state_dir:
        os.chmod(state_dir, 0o755)
        settings = ["--set", f"paths.state_dir={state_dir}"]
        for words in (["export", "base", "-"], ["import", "/dev/null"], ["build", "base"],
                      ["rm", "base"]):
            refused = as_nobody(*words, *settings)
            assert refused.returncode == 1 and "sudo" in refused.stdout + refused.stderr, refused
        listed = as_nobody("ls", *settings)
        assert "make one: sudo codeland template build base" in listed.stdout, listed
        os.makedirs(f"{state_dir}/templates/base", 0o700)
        os.chmod(f"{state_dir}/templates/base", 0o700)
        listed = as_nobody("ls", *settings)
        assert listed.returncode == 1
        assert listed.stdout.splitlines()[1].endswith(" only root sees what it is; use sudo"), listed
        os.chmod(f"{state_dir}/templates", 0o700)
        listed = as_nobody("ls", *settings)
        assert listed.returncode == 1 and "/templates; use sudo" in listed.stderr, listed
