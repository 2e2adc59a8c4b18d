#: group network
#: tries a network where none was asked for
#: holds a network namespace with loopback alone
#: status ok
#: says-held yes

import socket

names = [name for _, name in socket.if_nameindex()]
if names != ["lo"]:
    escaped(str(names))
held()
