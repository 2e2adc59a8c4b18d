#: group processor
#: tries sleeping past the time
#: holds a timer in the worker
#: status timeout
#: time-ms 500

exec sleep 31536000
