#: group kernel
#: tries keys, which no namespace divides
#: holds the filter refuses the family
#: status ok
#: says-held yes

must_refuse("keyctl", 0, -4, 1)
must_refuse("add_key", b"user", b"mine", b"secret", 6, -4)
must_refuse("request_key", b"user", b"mine", 0, -4)
held()
