"""Prints the results for a person. Each line with a ratio names what it is divided by, which was
measured in the same run."""

KIB, MIB = 1024, 1024 * 1024
TITLES = {"sh": "echo hi", "python": "python3 -c 'print(1)'"}


def line(first, *columns):
    """A name, up to six figures below their headings, and a remark."""
    figures = "".join(str(column).rjust(9) for column in columns[:6])
    print(f"{first:<36}{figures}  {columns[6] if len(columns) > 6 else ''}".rstrip())


def remark(title, figures, digits=2, end=""):
    """Figures that have no heading above them."""
    print(f"{title:<36}  " + ", ".join(f"{name} {number(value, digits)}"
                                       for name, value in figures.items()) + end)


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def times(result):
    ms = result["latencyMs"]
    return [number(ms[key]) if ms else "-" for key in ("p50", "p90", "p99", "p999", "max")]


def heading(text):
    print(f"\n{text}")


def latency_header(first):
    line(first, "p50", "p90", "p99", "p99.9", "max", "per s")


def baselines(found):
    heading("The command alone, and in bubblewrap (ms; N side by side)")
    latency_header("")
    for name, result in found.items():
        line(f"  {name}", *times(result), number(result["perSecond"], 0))


def ratios(results, name, result):
    """How often slower than the bare command, and than bubblewrap, one at a time."""
    found = results.get("baselines")
    if not found or not result["latencyMs"]:
        return ""
    parts = []
    for label in ("bare", "bwrap"):
        base = found[f"{label} {name} x1"]["latencyMs"]["p50"]
        parts.append(f"{result['latencyMs']['p50'] / base:.2f} x {label}")
    return ", ".join(parts)


def rate_ratios(results, name, per_second):
    found = results.get("baselines")
    if not found:
        return ""
    return ", ".join(f"{per_second / found[f'{label} {name} x2']['perSecond']:.2f} x {label} x2"
                     for label in ("bare", "bwrap"))


def failed(result, *more):
    first = f"{result['failed']} FAILED" if result.get("failed") else "none failed"
    return "; ".join(part for part in (first, *more) if part)


def latency(results, key, title):
    found = results.get(key)
    if not found:
        return
    heading(title)
    latency_header("")
    for name, cases in found.items():
        for case, result in cases.items():
            line(f"  {TITLES[name]}, {case}", *times(result), number(result["perSecond"], 0),
                 failed(result, ratios(results, name, result)))
            fields = result["fields"]
            if fields and case == "1":
                remark("    of which by the answer, p50", fields)


def cooking(results):
    cook, fills = results.get("cook"), results.get("fill")
    if cook:
        heading("Making runners (ms)")
        latency_header("")
        warm = "NOT VALID, some found a warm runner" if cook["foundWarm"] else ""
        said = f"the worker's smoothed figure: {number(cook['workerSaysMs'])}"
        line("  one, with nothing else running", *times({"latencyMs": cook["ms"]}), "",
             failed(cook, warm, said))
    for count, result in (fills or {}).items():
        spread = ", ".join(str(each["ms"]) for each in result["rounds"])
        line(f"  fill {count}", result["ms"], "", "", "", "",
             number(int(count) * 1000 / max(result["ms"], 1), 0),
             f"rounds {spread}; from the worker's start {number(result['withWorkerStartMs'], 0)}")


def memory(results):
    found = results.get("memory")
    if not found:
        return
    heading(f"Memory of an idle runner (KiB; by difference, 0 and {found['runners']} runners)")
    line("  MemAvailable", number(found["availablePerRunner"] / KIB, 0), "", "", "", "", "",
         f"the first 100: {number(found['availablePerRunnerFirst100'] / KIB, 0)}")
    for part, value in found["partsPerRunner"].items():
        if part != "MemAvailable":
            line(f"    {part}", number(value / KIB, 0))
    for name, sums in found["processes"].items():
        count = sums["processes"]
        remark(f"  {name}, {count} of them",
               {key: sums[key] / count / KIB for key in ("rss", "pss", "private")}, 0, " each")


def daemons(results):
    found = results.get("daemons")
    if not found:
        return
    heading("Memory of the daemons (MiB)")
    line("", *(f"{key} {when}" for when in ("idle", "after") for key in ("rss", "pss")))
    for name in found["idle"]:
        line(f"  {name}", *(number(found[when][name][key] / MIB)
                            for when in ("idle", "after") for key in ("rss", "pss")))


def throughput(results):
    if results.get("sustained"):
        heading("Sustained, a fresh container each: echo hi, closed loop (ms)")
        latency_header("")
    for connections, result in (results.get("sustained") or {}).items():
        line(f"  {connections} connections", *times(result), number(result["perSecond"], 0),
             failed(result, rate_ratios(results, "sh", result["perSecond"])))
        remark("    CPU ms a run", result["cpuMsPerRun"])
        remark("    CPU ms a run, the machine's", result["machineCpuMsPerRun"])
    if results.get("named"):
        heading("Commands on a named runner: echo hi, closed loop (ms)")
        latency_header("")
    for connections, result in (results.get("named") or {}).items():
        line(f"  {connections} connections", *times(result), number(result["perSecond"], 0),
             failed(result, ratios(results, "sh", result)))


def streaming(results):
    found = results.get("streaming")
    if not found:
        return
    heading("Output as it comes, over Server-Sent Events (ms from the program's clock to the event)")
    latency_header("")
    line("  a line", *(number(found["lateMs"][key]) for key in ("p50", "p90", "p99", "p999", "max")))
    remark("  lines of text, MB/s", {"": found["bytesPerSecond"] / 1e6}, 0)
    remark("  highest memory until then (MiB)",
           {name: value / MIB for name, value in found["memory"].items()}, 1)
    heading("A caller hangs up: until the last of 50 processes has ended (ms)")
    for name, key in (("  hang up", "endMs"), ("  a bare pid namespace's first is killed", "bareEndMs")):
        remark(name, {which: found[key][which] for which in ("p50", "max")})


def neighbours(results):
    for found in results.get("neighbours", []):
        heading(f"Neighbours of hostile runners, {found['attackers']} at a time: "
                "echo hi, 20 a second (ms)")
        latency_header("")
        quiet = found["quiet"]["latencyMs"]
        for title, key in (("quiet", "quiet"), ("beside idle runners", "idle"),
                           ("under attack", "attacked")):
            here = found[key]["latencyMs"]
            more = (f"{here['p50'] / quiet['p50']:.2f} x quiet at p50, "
                    f"{here['p99'] / quiet['p99']:.2f} x at p99"
                    if quiet and here and key != "quiet" else "")
            line(f"  {title}", *times(found[key]), number(found[key]["perSecond"], 0),
                 failed(found[key], more))
        remark("  attacks", found["attacks"], 0)


def ssh(results):
    found = results.get("ssh")
    if not found:
        return
    heading("The same worker over SSH, on loopback (ms), in turns with the others")
    latency_header("")
    for case, by in found["cases"].items():
        local = by["local worker"]["latencyMs"]
        for name, result in by.items():
            ms, more = result["latencyMs"], ""
            if name != "local worker" and ms and local:
                more = (f"{ms['p50'] / local['p50']:.2f} x local, {ms['p50'] - local['p50']:+.2f} ms "
                        f"at p50, {ms['p99'] - local['p99']:+.2f} ms at p99")
            line(f"  {case}, {name}", *times(result), number(result["perSecond"], 0),
                 failed(result, more))
    line(f"  connections kept ready: {found['connectionsReady']}")


def show(results):
    machine = results["machine"]
    print(f"{machine['cpu']}, {machine['processors']} processors, "
          f"{machine['memoryBytes'] / MIB / 1024:.1f} GiB, Linux {machine['kernel']}, "
          f"cgroup {machine['cgroup']}, load before {machine['loadBefore']:.2f}")
    if results.get("baselines"):
        baselines(results["baselines"])
    cooking(results)
    memory(results)
    latency(results, "latency", "POST /api/v1/runner/run, warm pool, open loop (ms)")
    latency(results, "link", "The same at the worker's link, without the manager (ms)")
    latency(results, "closed", "POST /api/v1/runner/run, closed loop: the pool is empty (ms)")
    throughput(results)
    streaming(results)
    neighbours(results)
    ssh(results)
    daemons(results)
    print(f"\ntook {results['tookSeconds']:.0f} s")
