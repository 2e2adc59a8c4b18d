"""`codeland up` on a stack's folders and address: it starts the daemons, not the test."""

import os
import re

from . import host, places
from .stack import Daemon
from .wait import eventually

READY = "Ctrl-C stops everything"


class Up(Daemon):
    """The supervisor of a stack that it starts itself."""

    def __init__(self, stack, *more):
        argv = [places.CODELAND, "up", *stack.options(), *more]
        super().__init__("up", argv, os.path.join(stack.folder, "up.log"))
        self.stack = stack

    def said(self):
        """All of it, over all its lives."""
        return "\n".join(self.lines()) + "\n"

    def says(self, text):
        return text in self.said()

    def wait_says(self, text, deadline=60):
        def said():
            if not self.running() and not self.says(text):
                raise RuntimeError(f"up ended: {self.lines()[-10:]}")
            return self.says(text)

        eventually(said, f"up says {text!r}", deadline)

    def wait_ready(self):
        self.wait_says(READY)
        return self

    def daemon(self, name):
        """The pid of its worker or manager; 0 while it has none."""
        program = {"worker": places.WORKER, "manager": f"{places.CODELAND} serve"}[name]
        pids = [
            pid for pid in host.children(self.pid) if host.command_line(pid).startswith(program)
        ]
        return pids[0] if pids else 0

    def find(self, pattern):
        """The first group of what it said last that matches."""
        return re.findall(pattern, self.said())[-1]
