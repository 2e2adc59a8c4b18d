#: group output
#: tries a child that holds stdout open and goes on writing
#: holds the answer waits for the program, not for what it leaves
#: status ok output
#: time-ms 60000

yes >&1 &
sleep 31536000 &
echo held
