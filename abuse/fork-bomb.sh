#: group processes
#: tries a fork bomb
#: holds the runner's number of processes is bounded, so is its share of the processor, and all die at once
#: status ok exit signal pids timeout memory
#: time-ms 3000

bomb() { bomb | bomb & }
bomb
sleep 1
