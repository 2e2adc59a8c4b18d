#: group output
#: tries stdout and stderr at once, without an end
#: holds each is cut, and the time ends it
#: status timeout cpu_timeout
#: time-ms 1000

yes error >&2 &
exec yes output
