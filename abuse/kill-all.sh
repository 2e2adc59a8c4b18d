#: group processes
#: tries kill -9 -1
#: holds nobody signals the agent, which is PID 1 and another user's
#: status ok
#: says-held yes

kill -9 -1 2>/dev/null
echo held
