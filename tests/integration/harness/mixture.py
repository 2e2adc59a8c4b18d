"""Things that people do, one of each kind, with the answers that they must get."""

from .events import stream, text_of


class Mixture:
    """One of each kind of thing that people do, in any order."""

    def __init__(self, stack, number):
        self.api, self.number = stack.api, number

    def ok(self):
        assert self.api.run("echo hi; head -c 100000 /dev/zero >file")["stdout"] == "hi\n"

    def fails(self):
        assert self.api.run("exit 3")["exit"] == 3

    def killed(self):
        assert self.api.run("kill -SEGV $$")["signal"] == "SIGSEGV"

    def timed_out(self):
        answer = self.api.post("/runner/run", {"code": "sleep 100 & sleep 100", "time": 0.05})
        assert answer.status == 498

    def in_the_background(self):
        assert self.api.run("sleep 100 & echo hi", time=25)["stdout"] == "hi\n"

    def much_output(self):
        assert self.api.run("head -c 3000000 /dev/zero")["truncated"]["stdout"]

    def much_input(self):
        assert self.api.run("wc -c", stdin="x" * 300_000)["stdout"].strip() == "300000"

    def input_that_nobody_reads(self):
        assert self.api.run(":", stdin="x" * 300_000)["status"] == "ok"

    def refused(self):
        assert self.api.post("/runner/run", {"code": 5}).status == 400

    def hangs_up(self):
        with self.api.wire() as wire:
            wire.send(self.api.bytes("POST", "/runner/run", {"code": "sleep 100"}))
            self.api.get("/worker")
            wire.reset() if self.number % 2 else wire.hang_up()

    def half_a_request(self):
        with self.api.wire() as wire:
            wire.send(self.api.bytes("POST", "/runner/run", {"code": "echo hi"})[:-5])

    def not_startable(self):
        answer = self.api.post("/runner/new", {"name": f"Bad-{self.number}"})
        assert answer.status == 400

    def named(self):
        name = f"leak-{self.number}"
        assert self.api.post("/runner/new", {"name": name, "code": "sleep 100 &"}).status == 200
        assert self.api.run("echo hi", on=name)["stdout"] == "hi\n"
        assert self.api.post(f"/runner/{name}", {"code": "sleep 100", "time": 0.05}).status == 498
        assert self.api.delete(f"/runner/{name}").status == 200

    def out_of_memory(self):
        result = self.api.run("head -c 64m /dev/zero | tail -c 64m >/dev/null", memory=16 << 20)
        assert result["status"] == "memory", result

    def streamed(self):
        events = stream(self.api, "for i in 1 2 3; do echo $i; done; exit 4")
        assert text_of(events, "stdout") == "1\n2\n3\n", events
        assert (events[-1][0], events[-1][1]["exit"]) == ("end", 4), events[-1]

    def once(self, kind):
        getattr(self, kind)()


KINDS = [name for name in vars(Mixture) if name != "once" and not name.startswith("_")]
