//: group compilers
//: tries including what is not the runner's: a device without an end, the host's secrets
//: holds the compiler is a program like any other: its user, its memory, its time
//: status compile_error
//: optional yes
//: request {"memory": 134217728}

#include "/etc/shadow"
#include "/proc/1/environ"
#include "/dev/zero"
