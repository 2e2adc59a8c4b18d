#: group processor
#: tries an endless loop
#: holds its time ends it
#: status timeout cpu_timeout
#: time-ms 700

while :; do :; done
