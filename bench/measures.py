"""The measurements. Each returns a dict of plain numbers; see docs/benchmarks.md for what they
mean. Times are milliseconds, sizes bytes."""

import json
import subprocess
import tempfile
import time

import far
import host
import stack as stacks

PROGRAMS = {
    "sh": {"argv": ["sh", "-c", "echo hi"], "code": "echo hi", "prints": "hi\n"},
    "python": {"argv": ["python3", "-c", "print(1)"], "code": "python3 -c 'print(1)'",
               "prints": "1\n"},
}
ROUNDS = 3
LARGE = 1_000_000  # bytes of output
FIELDS = ("duration", "queued", "wall")


def run_json(words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise stacks.Failed(f"{words[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def best(rounds):
    """One result of several rounds of the same measurement. What others do on the machine only
    ever makes a time longer, so each percentile is the lowest of the rounds, and the rate the
    highest; failures are added up."""
    result = {"rounds": rounds, "perSecond": max(each["perSecond"] for each in rounds),
              "latencyMs": None}
    times = [each["latencyMs"] for each in rounds if each["latencyMs"]]
    if times:
        result["latencyMs"] = {key: min(each[key] for each in times) for key in times[0]}
        result["latencyMs"]["count"] = sum(each["count"] for each in times)
    if "status" in rounds[0]:
        result["failed"] = sum(failures(each) for each in rounds)
        result["fields"] = {
            name: min(each["fields"][name]["p50"] for each in rounds if each["fields"].get(name))
            for name in rounds[0]["fields"]
            if any(each["fields"].get(name) for each in rounds)}
    return result


def failures(load):
    """Requests without a right answer."""
    refused = sum(count for status, count in load["status"].items() if status != "200")
    return refused + load["wrong"] + load["broken"] + load["unanswered"]


class Bench:
    def __init__(self, build, templates, settings, quick):
        self.build = build
        self.templates = templates
        self.settings = settings
        self.rounds = 1 if quick else ROUNDS
        self.quick = quick
        self.rootfs = templates / "base" / "rootfs"

    def stack(self, settings=None, manager=True):
        return stacks.Stack(self.build, self.templates, {**self.settings, **(settings or {})},
                            manager)

    # ---- programs that measure ----

    def baseline(self, program, parallel, wrapped):
        words = [self.build / "bench/baseline", "--parallel", parallel,
                 "--seconds", 0.5 if self.quick else 1, "--expect", program["prints"]]
        if not wrapped:
            return run_json([*words, "--root", self.rootfs, "--", *program["argv"]])
        return run_json([*words, "--", "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind",
                         self.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
                         *program["argv"]])

    def load(self, target, request, **options):
        with tempfile.NamedTemporaryFile() as file:
            file.write(request)
            file.flush()
            words = [self.build / "bench/load", *target, "--request", file.name]
            for name, value in options.items():
                for each in value if isinstance(value, tuple) else (value,):
                    words += [f"--{name}", each]
            return run_json(words)

    def http(self, stack, program, path="/api/v1/runner/run", **options):
        request = stack.http_request(path, {"code": program["code"]})
        expect = program.get("expect") or f'"stdout":{json.dumps(program["prints"])}'
        return self.load(("--http", f"127.0.0.1:{stack.port}"), request,
                         expect=expect, field=FIELDS, **options)

    def named_http(self, stack, program, **options):
        """Of the runner that is named after its manager's port."""
        return self.http(stack, program, path=f"/api/v1/runner/bench-{stack.port}", **options)

    def link(self, stack, program, **options):
        code = program["code"].encode()
        request = stacks.link_request(stacks.RUN, {
            "id": "bench", "argv": ["sh", "main.sh"], "timeMs": 60000, "outputBytes": 1 << 20,
            "queueMs": 10000, "files": [{"name": "main.sh", "bytes": len(code)}]}, [code])
        return self.load(("--link", stack.socket), request, expect=program["prints"], field=FIELDS,
                         **options)

    def repeat(self, measure):
        return best([measure() for _ in range(self.rounds)])

    # ---- what is measured ----

    def baselines(self):
        """Nothing but the command, and the command in bubblewrap."""
        cases = [(name, wrapped, parallel) for name in PROGRAMS for wrapped in (False, True)
                 for parallel in (1, 2)]
        rounds = {case: [] for case in cases}
        for _ in range(self.rounds):
            for case in cases:
                name, wrapped, parallel = case
                rounds[case].append(self.baseline(PROGRAMS[name], parallel, wrapped))
        return {f"{'bwrap' if wrapped else 'bare'} {name} x{parallel}": best(rounds[case])
                for case in cases for name, wrapped, parallel in [case]}

    def cook(self):
        """Runners made one at a time: each run finds the oven empty, and `queued` is what it waits
        for. So few a second that the last one is gone and that the oven, which cooks ahead of the
        demand it sees, does not; if it does (a slow machine), some find a warm one."""
        with self.stack({"oven.min_available": 0, "oven.mem_target": 0}, manager=False) as stack:
            self.link(stack, PROGRAMS["sh"], rate=4, requests=4)
            load = self.link(stack, PROGRAMS["sh"], rate=4, requests=16 if self.quick else 48)
            with stack.watch() as watch:
                watch.until("figures", lambda watch: watch.oven())
                said = watch.oven()["cookMs"]
        found = load["fields"]["queued"]
        return {"ms": found, "foundWarm": found["min"] < 1, "failed": failures(load),
                "workerSaysMs": said}

    def fill(self, count):
        """From an empty oven to count warm runners, by the worker's own record of each."""
        def once():
            settings = {"oven.min_available": count, "oven.mem_target": 0,
                        "oven.max_runners": count + 16}
            with self.stack(settings, manager=False) as stack, stack.watch() as watch:
                watch.until(f"{count} warm runners",
                            lambda watch: len(watch.in_state("available")) >= count)
                since_start = (time.monotonic() - stack.started) * 1000
                records = watch.in_state("available")
                first = min(record["startedAt"] for record in records)
                return {"ms": max(record["since"] for record in records) - first,
                        "withWorkerStartMs": since_start, "eachMs": watch.oven()["cookMs"]}
        rounds = [once() for _ in range(self.rounds)]
        return {"rounds": rounds, **min(rounds, key=lambda each: each["ms"])}

    def memory_at(self, count):
        settings = {"oven.min_available": count, "oven.mem_target": 0,
                    "oven.max_runners": count + 16}
        with self.stack(settings, manager=False) as stack:
            stack.wait_warm(count)
            time.sleep(1)  # the kernel frees what starts left behind in the background
            figures = host.settled_memory()
            sums = {}
            for pid, name in host.descendants(stack.worker.pid).items():
                each = host.process_memory(pid)
                entry = sums.setdefault(name, {"processes": 0, "rss": 0, "pss": 0, "private": 0})
                entry["processes"] += 1
                for key, value in each.items():
                    entry[key] += value
            sums["codeland-worker"] = {"processes": 1, **host.process_memory(stack.worker.pid)}
        return figures, sums

    def memory(self):
        """By difference: the same worker with 0, 100 and more idle runners."""
        more = 200 if self.quick else 300
        none, _ = self.memory_at(0)
        some, _ = self.memory_at(100)
        many, sums = self.memory_at(more)
        per_runner = {part: (many[part] - none[part]) / more for part in none}
        return {"runners": more,
                "availablePerRunner": (none["MemAvailable"] - many["MemAvailable"]) / more,
                "availablePerRunnerFirst100": (none["MemAvailable"] - some["MemAvailable"]) / 100,
                "partsPerRunner": per_runner, "processes": sums}

    def daemons(self, stack):
        starter = next((pid for pid, name in host.descendants(stack.worker.pid).items()
                        if name == "codeland-starte"), None)
        found = {"worker": host.process_memory(stack.worker.pid),
                 "manager": host.process_memory(stack.manager.pid)}
        if starter:
            found["starter"] = host.process_memory(starter)
        return found

    def latency(self, stack, name, measure, cases=("1", "4 at once", "16 at once")):
        """Answers from a warm pool: one run at a time, and groups that come at the same moment."""
        program = PROGRAMS[name]
        slow = name == "python"
        options_of = {
            "1": dict(connections=1, rate=20 if slow else 25, requests=100 if slow else 150),
            "4 at once": dict(connections=4, burst=4, rate=20 if slow else 40,
                              requests=60 if slow else 120),
            "16 at once": dict(connections=16, burst=16, rate=20 if slow else 40,
                               requests=64 if slow else 128),
        }
        found = {}
        for case in cases:
            options, rounds = options_of[case], []
            for _ in range(self.rounds):
                stack.wait_warm()
                rounds.append(measure(stack, program, **options))
            found[case] = best(rounds)
        return found

    def closed(self, stack, name):
        """Connections that ask again at once: the pool is empty, cooking sets the pace."""
        found = {}
        for connections in (1, 4, 16):
            stack.wait_warm()
            found[str(connections)] = best([self.http(
                stack, PROGRAMS[name], connections=connections, seconds=1 if self.quick else 2)])
        return found

    def sustained(self, stack, connections, seconds):
        stack.wait_warm()
        starter = next(pid for pid, name in host.descendants(stack.worker.pid).items()
                       if name == "codeland-starte")
        pids = {"worker": stack.worker.pid, "manager": stack.manager.pid, "starter": starter}
        before = {key: host.process_cpu_s(pid) for key, pid in pids.items()}
        all_before = host.cpu_s()
        load = self.http(stack, PROGRAMS["sh"], connections=connections, seconds=seconds)
        after = {key: host.process_cpu_s(pid) for key, pid in pids.items()}
        all_after = host.cpu_s()
        result = best([load])
        runs = max(load["latencyMs"]["count"], 1)
        result["cpuMsPerRun"] = {key: (after[key][0] - before[key][0]) * 1000 / runs
                                 for key in pids}
        result["cpuMsPerRun"]["monitors and runners"] = (
            (after["starter"][1] - before["starter"][1]) * 1000 / runs)
        result["machineCpuMsPerRun"] = {key: (all_after[key] - all_before[key]) * 1000 / runs
                                        for key in all_after}
        return result

    def named(self, stack):
        """Commands on one runner that stays."""
        name = "bench"
        stack.post("/api/v1/runner/new", {"name": name})
        found = {}
        for connections in (1, 4, 8):
            found[str(connections)] = self.repeat(lambda c=connections: self.http(
                stack, PROGRAMS["sh"], path=f"/api/v1/runner/{name}", connections=c,
                seconds=1 if self.quick else 1.5))
        return found

    def ssh(self, stack):
        """The same worker by its socket and over SSH, turn about, and a command by ssh alone."""
        hi = PROGRAMS["sh"]
        large = {"code": f"head -c {LARGE} /dev/zero | tr '\\0' x", "prints": "xxxxxxxx"}
        few = dict(connections=1, rate=25, requests=25 if self.quick else 100)
        runs = {
            "echo hi": (self.http, hi, few),
            "named runner": (self.named_http, hi, dict(connections=1, seconds=1)),
            "16 at once": (self.http, hi, dict(connections=16, burst=16, rate=32, requests=64)),
            "link, connection made": (self.link, hi, few),
            "link, 1 MB of output": (self.link, large, dict(connections=1, rate=5, requests=10)),
        }
        with far.Far(stack) as far_host:
            by = {"local worker": stack, "SSH worker": far_host}
            alone = {"ControlMaster": far_host.shared(), "fresh ssh": far_host.ssh()}
            for each in by.values():
                self.http(each, hi, rate=20, requests=20)
                each.post("/api/v1/runner/new", {"name": f"bench-{each.port}"})
            found = {case: {name: [] for name in by} for case in runs}
            found["echo hi"].update({name: [] for name in alone})
            for _ in range(self.rounds):
                for case, (measure, program, options) in runs.items():
                    for name, where in by.items():
                        stack.wait_warm()
                        found[case][name].append(measure(where, program, **options))
                for name, words in alone.items():
                    found["echo hi"][name].append(run_json(
                        [self.build / "bench/baseline", "--seconds", 1 if self.quick else 2,
                         "--expect", hi["prints"], "--", *words, "sh -c 'echo hi'"]))
            ready = stacks.wait_for("connections kept ready", far_host.connections)
        return {"connectionsReady": ready,
                "cases": {case: {name: best(rounds) for name, rounds in each.items()}
                          for case, each in found.items()}}
