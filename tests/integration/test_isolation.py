"""What code in a runner is, and what it cannot see or reach."""

import os
from concurrent.futures import ThreadPoolExecutor

from harness import host
from harness.link import frame, run_fields
from harness.wait import eventually, side_by_side

PYTHON = "cat >p.py; exec python3 p.py"


def python(api, source, **fields):
    result = api.run(PYTHON, stdin=source, **fields)
    assert result["status"] == "ok", result
    return result["stdout"]


def test_user(api):
    assert api.run("id -u; id -g; id -G; id -un; whoami")["stdout"].split() == [
        "1000",
        "1000",
        "1000",
        "runner",
        "runner",
    ]


def test_no_capabilities_and_no_new_ones(api):
    status = dict(
        line.split(":\t", 1) for line in api.run("cat /proc/self/status")["stdout"].splitlines()
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == ["1000"] * 4


def test_no_program_gives_rights(api):
    found = api.run("find / -xdev -perm /6000 -type f 2>/dev/null")
    assert found["stdout"] == ""


def test_nobody_on_the_host(stack):
    """Its user is one of the runner's own id range, outside."""
    with stack.link() as link:
        link.send(frame("RUN", run_fields(argv=["sleep", "1000"], queueMs=30000)))
        while link.receive()[0] != "STARTED":
            pass
        (pid,) = wait_for_program(stack, "sleep 1000")
        uid = int(host.status_field(pid, "Uid").split()[0])
        assert (uid - stack.id_base) % 65536 == 1000


def test_what_computes_gives_way(api, stack):
    """It has the processor when no other runner wants it, until it rests."""

    def give_way():
        groups = host.cgroups(stack.prefix)
        return [folder for folder in groups if host.read(f"{folder}/cpu.idle") == "1\n"]

    made = api.post("/runner/new", {"name": "busy"})
    assert made.status == 200, made
    computing = "(while test ! -e /tmp/rest; do :; done; exec sleep 1000) >/dev/null 2>&1 &"
    assert api.post("/runner/busy", {"code": computing}).json["status"] == "ok"
    eventually(lambda: len(give_way()) == 1, "it gives way")
    assert api.run("echo beside it")["stdout"] == "beside it\n"
    assert api.post("/runner/busy", {"code": "touch /tmp/rest"}).json["status"] == "ok"
    eventually(lambda: not give_way(), "it gives way no more")
    assert api.delete("/runner/busy").status == 200


def test_a_fork_bomb_is_curbed(api, stack):
    """It has a tenth of its runner's limit for as long as it is one, and no longer."""

    def curbed():
        groups = host.cgroups(stack.prefix)
        texts = [host.read(f"{folder}/cpu.max") + host.read(f"{folder}/cpu.cfs_quota_us") for folder in groups]
        return [text for text in texts if text.split()[:1] == ["10000"]]

    bomb = "bomb() { bomb | bomb & }; bomb; sleep 1000"
    assert api.post("/runner/new", {"name": "bomb"}).status == 200
    assert not curbed()
    with ThreadPoolExecutor(1) as pool:
        hostile = pool.submit(api.post, "/runner/bomb", {"code": bomb, "time": 5})
        eventually(lambda: len(curbed()) == 1, "it is curbed")
        assert api.run("echo beside it")["stdout"] == "beside it\n"
        assert hostile.result().json["status"] in ("timeout", "pids")
    assert api.post("/runner/bomb", {"code": "echo after it"}).json["stdout"] == "after it\n"
    eventually(lambda: not curbed(), "it is curbed no more")
    assert api.delete("/runner/bomb").status == 200


def test_the_host_keeps_its_part(stack):
    """All runners together have a bound below what there is, and end first when memory is short."""
    total = next(
        int(line.split()[1]) * 1024
        for line in host.read("/proc/meminfo").splitlines()
        if line.startswith("MemTotal:")
    )
    (folder,) = [
        folder
        for folder in host.cgroups(stack.prefix)
        if folder.endswith(f"/{stack.prefix}")
        and (os.path.exists(folder + "/memory.max") or "/memory/" in folder)
    ]
    names = ["memory.max", "memory.limit_in_bytes"]
    text = next(filter(None, (host.read(f"{folder}/{name}") for name in names)))
    assert total - 256 * 2**20 - 2**20 <= int(text) <= total - 256 * 2**20
    # A root without CAP_SYS_RESOURCE cannot put the worker last, only the runners first.
    mine = int(host.read(f"/proc/{stack.worker.pid}/oom_score_adj"))
    assert mine in (-800, 0)
    code = "cat /proc/self/oom_score_adj; (echo 0 >/proc/self/oom_score_adj) 2>/dev/null || echo no"
    assert stack.api.run(code)["stdout"].split() == (["500", "no"] if mine else ["500"])


def wait_for_program(stack, line):
    def found():
        return [pid for pid in host.pids() if host.command_line(pid) == line and stack.owns(pid)]

    return eventually(found, f"{line} runs")


def test_runners_share_no_ids(stack):
    """Two at once: no user of one is a user of the other."""
    maps = side_by_side([lambda: stack.api.run("cat /proc/self/uid_map; sleep 0.3")] * 4)
    firsts = [int(result["stdout"].split()[1]) for result in maps]
    assert len(set(firsts)) == 4
    assert all(first >= stack.id_base for first in firsts)


def test_host_name(api):
    result = api.run("hostname 2>/dev/null || uname -n")
    assert result["stdout"].strip() == result["runner"]


def test_processes(api):
    """Only its own: its shell, and the agent as PID 1."""
    source = """
import os
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    print(pid, open(f"/proc/{pid}/comm").read().strip())
"""
    lines = python(api, source).splitlines()
    assert lines[0] == "1 crunner"
    assert [line.split()[1] for line in lines[1:]] == ["python3"]


def test_the_agent_cannot_be_touched(api):
    source = """
import os, signal
for number in signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV:
    try:
        os.kill(1, number)
        print("sent", number)
    except PermissionError:
        pass
reads = {name: lambda path: open(path, "rb").read(1) for name in ("mem", "environ", "maps")}
reads.update(fd=os.listdir, exe=os.readlink)
for name, read in reads.items():
    try:
        read("/proc/1/" + name)
        print("read", name)
    except PermissionError:
        pass
print("over")
"""
    assert python(api, source) == "over\n"


def test_network(api):
    """Loopback, which works, and nothing else."""
    source = """
import socket
print(*[name for _, name in socket.if_nameindex()])
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=10)
server.accept()[0].sendall(b"looped")
print(client.recv(10).decode())
for address in ("1.1.1.1", 80), ("10.0.0.1", 22), ("169.254.169.254", 80):
    try:
        socket.create_connection(address, timeout=10)
        print("connected to", address)
    except OSError as error:
        print(error.errno)
"""
    name, looped, *errors = python(api, source).splitlines()
    assert (name, looped) == ("lo", "looped")
    assert errors == ["101"] * 3  # ENETUNREACH


def test_the_hosts_loopback_is_another(stack):
    """The manager listens on the host's."""
    source = f"""
import socket
try:
    socket.create_connection({stack.address!r}, timeout=10)
    print("connected")
except ConnectionRefusedError:
    print("refused")
"""
    assert python(stack.api, source) == "refused\n"


def test_the_agents_socket_serves_agents_alone(stack):
    """A program may knock at /run/codeland; nobody answers it, and the worker lives on."""
    source = """
import os, socket, struct
try:
    open("/run/codeland/x", "w")
    print("written")
except OSError as error:
    print("refused")
try:
    knock = socket.socket(socket.AF_UNIX)
    knock.settimeout(20)
    knock.connect("/run/codeland/agent.sock")
    knock.sendall(struct.pack("<BBHI", 48, 0, 0, 4) + bytes(4))
    print("answer", knock.recv(100))
except OSError as error:
    print("answer b''")
"""
    lines = python(stack.api, source).splitlines()
    assert lines == ["refused", "answer b''"]


def test_files(stack):
    """Its home and /tmp are its own to write, the system is not; nothing reaches the template."""
    code = """
for place in /home/runner /tmp /dev/shm; do echo x >$place/mine && echo $place; done
for place in / /usr /usr/bin /etc /run/codeland /usr/libexec /proc /sys; do
    (echo x >$place/mine) 2>/dev/null && echo wrote to $place
done
(echo x >/usr/libexec/crunner) 2>/dev/null && echo wrote the agent
true
"""
    said = stack.api.run(code)["stdout"].splitlines()
    assert said[:2] == ["/home/runner", "/tmp"]
    assert not [line for line in said if line.startswith("wrote")]
    root = os.path.join(stack.template, "rootfs")
    assert not os.path.exists(os.path.join(root, "tmp/mine"))
    assert os.listdir(os.path.join(root, "home/runner")) == []
    assert os.path.getsize(os.path.join(root, "usr/libexec/crunner")) == 0


def test_root_of_the_container_cannot_leave_either(stack):
    """What root inside may do is its container's affair: the kernel's settings are the host's."""
    source = r"""
for path in /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sysrq-trigger \
    /proc/sys/kernel/core_pattern /sys/power/state; do
    (echo 1 >$path) 2>/dev/null && echo wrote to $path
done
for device in /dev/mem /dev/kmsg /dev/vda /dev/sda; do
    [ -e $device ] && (head -c 1 $device) >/dev/null 2>&1 && echo read $device
done
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
unshare -r true 2>/dev/null && echo unshared
dmesg >/dev/null 2>&1 && echo dmesg
true
"""
    assert stack.api.run(source)["stdout"] == ""


def test_devices(api):
    code = """
set -e
head -c 4 /dev/zero | od -An -tx1; echo x >/dev/null; head -c 8 /dev/urandom | wc -c
ls /dev
"""
    result = api.run(code)
    assert result["status"] == "ok", result
    zeros, count, *names = result["stdout"].splitlines()
    assert zeros.split() == ["00"] * 4 and count.strip() == "8"
    assert set(names) - {"console", "mqueue"} == set(
        "null zero full random urandom tty ptmx pts fd stdin stdout stderr shm".split()
    )
    kinds = api.run("find /dev -type b -o -type c ! -path '/dev/pts/*' | sort")["stdout"].split()
    assert set(kinds) <= {f"/dev/{name}" for name in "null zero full random urandom tty ptmx".split()}


def test_shared_memory(new_stack):
    """Semaphores and shared memory work, and count as the runner's disk."""
    api = new_stack({"run.disk": "8M"}).start().api
    source = """
import multiprocessing, os
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, 2]))
def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)) == 65536:
                pass
        except OSError:
            pass
        return file.tell()
print(fill("/dev/shm/big") + fill("/tmp/big"))
"""
    pooled, size = python(api, source).splitlines()
    assert pooled == "[1, 2]"
    assert 6 * 2**20 < int(size) <= 8 * 2**20


def test_system_calls(api):
    """The agent's filter holds every program; what it lets through is in the agent's unit tests."""
    status = api.run("grep -h ^Seccomp: /proc/self/status; unshare -U true; echo $?")
    assert status["stdout"].split() == ["Seccomp:", "2", "1"]


def test_what_tells_about_the_host(api):
    code = "head -c 100 /proc/cmdline /proc/kallsyms /proc/interrupts; ls -A /sys/module /proc/bus"
    said = api.run(code + " 2>/dev/null")["stdout"].splitlines()
    assert [line for line in said if line and line[0] not in "=/"] == []


def test_descriptors(api):
    """The program has its three and inherits no other."""
    source = "import os\nprint(*sorted(map(int, os.listdir('/proc/self/fd')))[:-1])\n"
    assert python(api, source) == "0 1 2\n"


def test_a_core_limit_that_cannot_be_raised(new_stack):
    """sudo hands on a limit of 0, and root of a container may not lift it: runners are made all the same."""
    stack = new_stack()
    without = ["setpriv", "--bounding-set=-sys_resource", "prlimit", "--core=0:0"]
    stack.worker.argv = [*without, *stack.worker.argv]
    stack.start()
    source = "import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))\n"
    assert python(stack.api, source) == "(0, 0)\n"
