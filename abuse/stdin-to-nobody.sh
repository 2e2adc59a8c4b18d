#: group output
#: tries 3 MB of input to a program that has closed it
#: holds as above, and no signal to the agent
#: status ok
#: says-held yes
#: stdin-bytes 3000000

exec <&-
sleep 0.1
echo held
