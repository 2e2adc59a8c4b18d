#: group processes
#: tries as many threads as the kernel gives
#: holds threads count as processes
#: status ok exit pids memory
#: says-held yes
#: time-ms 60000
#: memory-mib 128

import threading

stop = threading.Event()
count = 0
try:
    while count < 5000:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except (RuntimeError, MemoryError):
    pass
print(count, "threads")
print("held" if count < 5000 else "it did not hold: 5000 threads", flush=True)
os._exit(0)
