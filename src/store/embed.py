"""Writes the schema's steps, given in order as files, as one C array of texts."""

import re
import sys

*paths, out = sys.argv[1:]
with open(out, "w") as c:
    c.write("static const char *const schema_steps[] = {\n")
    for number, path in enumerate(paths, start=1):
        name = re.split("[/]", path)[-1]
        if not name.startswith(f"{number:03d}_"):
            sys.exit(f"{name}: step {number} must be named {number:03d}_*.sql")
        c.write(f"    /* {name} */\n")
        for line in open(path):
            text = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            c.write(f'    "{text}\\n"\n')
        c.write("    ,\n")
    c.write("};\n")
