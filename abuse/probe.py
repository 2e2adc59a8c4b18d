"""What the Python cases begin with: their words for "it held" and "it did not", and raw system calls."""

import ctypes
import errno
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_X86 = os.uname().machine == "x86_64"

# name: number on x86_64, on aarch64 (None: no such call)
_NUMBERS = {
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def held():
    print("held")
    sys.exit(0)


def escaped(what):
    print(f"it did not hold: {what}", flush=True)
    os._exit(1)


def call(name, *arguments):
    """The call's result, or the negative errno."""
    number = _NUMBERS[name][0 if _X86 else 1]
    words = [
        ctypes.c_char_p(word) if isinstance(word, bytes) else ctypes.c_long(word)
        if isinstance(word, int) else word
        for word in arguments
    ]
    result = _libc.syscall(ctypes.c_long(number), *words)
    return -ctypes.get_errno() if result == -1 else result


def must_refuse(name, *arguments, by=errno.EPERM):
    """The filter refuses it with that errno, whatever its arguments; the kernel alone would not."""
    result = call(name, *arguments)
    if result != -by:
        escaped(f"{name}{arguments} gives {result}, not {-by}")


def must_fail(what, action):
    """An OSError; what comes back otherwise has escaped."""
    try:
        result = action()
    except OSError as error:
        return error.errno
    return escaped(f"{what}: {result!r}")
