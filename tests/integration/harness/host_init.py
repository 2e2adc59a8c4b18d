"""The first process of a worker host that is a few namespaces of this machine (hosts.py).

    host_init.py FOLDER ADDRESS DISK_BYTES

FOLDER has `etc` and `state`, which become /etc/codeland and (without DISK_BYTES) /var/lib/codeland,
and sshd_config. What is written elsewhere below /etc, /usr/local, /var/lib and /run is of this host
alone, and is gone with it. Starts sshd again whenever that ends, and reaps.
"""

import os
import subprocess
import sys
import time


def run(*words):
    subprocess.run(words, check=True)


def overlay(folder, target):
    name = target.strip("/").replace("/", "-")
    upper, work = f"{folder}/layers/{name}", f"{folder}/layers/{name}.work"
    os.makedirs(upper)
    os.makedirs(work)
    run("mount", "-t", "overlay", "overlay", target, "-o",
        f"lowerdir={target},upperdir={upper},workdir={work}")


def make_root(folder, disk):
    run("mount", "--make-rprivate", "/")
    os.makedirs(f"{folder}/layers")
    run("mount", "-t", "tmpfs", "layers", f"{folder}/layers")
    for target in ("/etc", "/usr/local", "/var/lib"):
        overlay(folder, target)
    os.makedirs("/etc/codeland", exist_ok=True)
    run("mount", "--bind", f"{folder}/etc", "/etc/codeland")
    os.makedirs("/var/lib/codeland", exist_ok=True)
    if disk:
        run("mount", "-t", "tmpfs", "disk", "/var/lib/codeland", "-o", f"size={disk},mode=755")
    else:
        run("mount", "--bind", f"{folder}/state", "/var/lib/codeland")
    run("mount", "-t", "tmpfs", "run", "/run", "-o", "mode=755")
    os.makedirs("/run/sshd", mode=0o755)
    if os.path.exists(f"{folder}/dpkg-status"):
        run("mount", "--bind", f"{folder}/dpkg-status", "/var/lib/dpkg/status")


def leave_group():
    """The first process of a machine shares its group with nobody else's: LXC makes its groups below
    that of process 1, and on cgroup v2 one with processes in it has nothing to hand down.
    """
    procs = "/sys/fs/cgroup/cgroup.procs"  # v2 alone has it there
    if os.path.exists(procs):
        with open(procs, "w", encoding="ascii") as file:
            file.write("0")


def main():
    folder, address, disk = sys.argv[1:]
    leave_group()
    make_root(folder, int(disk))
    # What this machine's root has its shell do at each login is none of the host's business.
    run("usermod", "--shell", "/bin/sh", "root")
    run("ip", "link", "set", "lo", "up")
    sshd = ["/usr/sbin/sshd", "-D", "-f", f"{folder}/sshd_config", "-E", f"{folder}/sshd.log"]
    listening = subprocess.Popen(sshd).pid
    with open(f"{folder}/up", "w", encoding="ascii") as file:
        file.write(address)
    while True:
        pid, _ = os.wait()
        if pid == listening:
            time.sleep(0.1)  # its address may be on its way
            listening = subprocess.Popen(sshd).pid


if __name__ == "__main__":
    main()
