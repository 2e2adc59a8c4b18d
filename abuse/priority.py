#: group processor
#: tries a better place in the scheduler's queue
#: holds no capabilities: real-time and negative nice are refused
#: status ok
#: says-held yes

must_fail("real-time scheduling", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
must_fail("nice -10", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10))
held()
