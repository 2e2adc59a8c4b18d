#: group agent
#: tries the way from the agent to its worker
#: holds the mount is taken away before the first program starts
#: status ok
#: says-held yes

import socket

if os.path.isdir("/run/codeland") and os.listdir("/run/codeland"):
    escaped("/run/codeland")
for path in "/run/codeland/agent.sock", "/proc/1/cwd/agent.sock", "/run/codeland/worker.sock":
    must_fail(path, lambda: socket.socket(socket.AF_UNIX).connect(path))
must_fail("a folder there", lambda: os.mkdir("/run/codeland/mine"))
held()
