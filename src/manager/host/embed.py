"""Writes shell scripts as C texts, and the packages that packages.txt names for running.

    embed.py PACKAGES OUT SCRIPT...
"""

import pathlib
import sys

packages, out, *scripts = sys.argv[1:]


def text(line):
    return '    "' + line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '\\n"\n'


section, names = "", []
for line in open(packages):
    line = line.strip()
    if line.startswith("["):
        section = line
    elif line and not line.startswith("#") and section == "[run]":
        names.append(line)
with open(out, "w") as c:
    c.write(f'static const char host_packages[] = "{" ".join(names)}";\n')
    for path in map(pathlib.Path, scripts):
        c.write(f"static const char host_{path.stem}[] =\n")
        c.writelines(text(line.rstrip("\n")) for line in path.open())
        c.write("    ;\n")
