#: group files
#: tries file names that lead elsewhere, and names that a shell, a path or a format would take amiss
#: holds they are refused with the reason, or are nothing but names below the working directory
#: status ok
#: says-held yes
#: request {"files": [{"path": "-rf", "content": "mine"}, {"path": "--", "content": "mine"}, {"path": "a b", "content": "mine"}, {"path": "$(reboot)", "content": "mine"}, {"path": "`reboot`", "content": "mine"}, {"path": "'\"'", "content": "mine"}, {"path": "%s%n", "content": "mine"}, {"path": "a\\b", "content": "mine"}, {"path": "...", "content": "mine"}, {"path": "~", "content": "mine"}, {"path": "*", "content": "mine"}, {"path": "\u00e9/\u4e2d/\ud83d\udca5", "content": "mine"}, {"path": "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "content": "mine"}, {"path": "d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d", "content": "mine"}, {"path": "-/-/-", "content": "mine"}]}
#: refused {"files": [{"path": "../escape", "content": "mine"}]}
#: refused {"files": [{"path": "/etc/passwd", "content": "mine"}]}
#: refused {"files": [{"path": "a/../../b", "content": "mine"}]}
#: refused {"files": [{"path": "a//b", "content": "mine"}]}
#: refused {"files": [{"path": "a/", "content": "mine"}]}
#: refused {"files": [{"path": "./a", "content": "mine"}]}
#: refused {"files": [{"path": ".", "content": "mine"}]}
#: refused {"files": [{"path": "..", "content": "mine"}]}
#: refused {"files": [{"path": "a/..", "content": "mine"}]}
#: refused {"files": [{"path": "", "content": "mine"}]}
#: refused {"files": [{"path": "a\u0000b", "content": "mine"}]}
#: refused {"files": [{"path": "a\nb", "content": "mine"}]}
#: refused {"files": [{"path": "\u001b[31m", "content": "mine"}]}
#: refused {"files": [{"path": "\u007f", "content": "mine"}]}
#: refused {"files": [{"path": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "content": "mine"}]}
#: refused {"files": [{"path": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", "content": "mine"}]}
#: refused {"files": [{"path": "main.sh", "content": "mine"}]}
#: refused {"files": [{"path": "a", "content": ""}, {"path": "a", "content": ""}]}
#: refused {"files": [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]}
#: refused {"files": [{"path": "a/b", "content": ""}, {"path": "a", "content": ""}]}
#: refused {"files": [{"path": "a", "content": "", "mode": 2541}]}
#: refused {"files": [{"path": "a", "content": "", "mode": -1}]}
#: refused {"files": [{"path": "a", "content": "====", "encoding": "base64"}]}
#: refused {"cwd": "../etc"}
#: refused {"cwd": "/etc\n"}

ODD = (
    '-rf',
    '--',
    'a b',
    '$(reboot)',
    '`reboot`',
    '\'"\'',
    '%s%n',
    'a\\b',
    '...',
    '~',
    '*',
    '\xe9/\u4e2d/\U0001f4a5',
    "z" * 255,
    "/".join("d" * 400),
    '-/-/-',
)
found = set()
for root, folders, names in os.walk("."):
    for name in names:
        path = os.path.relpath(os.path.join(root, name), ".")
        if path not in ("case.py", "main.sh"):
            found.add(path)
            if open(path).read() != "mine":
                escaped(f"{path!r} is not what was sent")
wanted = set(ODD)
if found != wanted:
    escaped(f"{sorted(found ^ wanted)!r:.200}")
held()
