#: group output
#: tries 3 MB of input that nobody reads
#: holds what is not read is dropped at the end
#: status ok
#: says-held yes
#: stdin-bytes 3000000

echo held
