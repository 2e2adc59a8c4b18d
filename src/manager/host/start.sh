# Builds the template when there is none, and starts the worker; as root. Reads: changed (1: its
# programs are new ones; they may also have come with an earlier try that was interrupted). Prints
#   step TEXT   failed TEXT
set -u
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C
umask 022
worker=/usr/local/libexec/codeland/codeland-worker
step() { printf 'step\t%s\n' "$1"; }
failed() {
    printf 'failed\t%s\n' "$(printf %s "$1" | tr '\t' ' ')"
    exit 1
}
setting() {
    value=$(sed -n "/^\[$1\]/,/^\[/s/^$2[ ]*=[ ]*//p" /etc/codeland/codeland.conf 2>/dev/null | tail -n1)
    echo "${value:-$3}"
}
said=$("$worker" --check-config 2>&1) || failed "$said"

state=$(setting paths state_dir /var/lib/codeland)
name=$(setting oven template base)
if [ ! -d "$state/templates/$name/rootfs" ]; then
    step "building the template $name"
    share=/usr/local/share/codeland
    rm -rf "$share/languages" && mkdir "$share/languages" &&
        tar -xf "$share/languages.tar" -C "$share/languages" || failed "cannot unpack $share/languages.tar"
    last=$(mktemp)
    /usr/local/bin/codeland template build "$name" </dev/null 2>&1 |
        while read -r line; do
            step "template: $line"
            [ -n "$line" ] && echo "$line" >"$last"
        done
    why=$(cat "$last")
    rm -f "$last"
    [ -d "$state/templates/$name/rootfs" ] || failed "the template $name could not be built: $why"
fi

socket=$(setting paths run_dir /run/codeland)/worker.sock
listens() { [ -S "$socket" ] && running >/dev/null; }
# The pids of this worker, also of one whose file has been replaced.
running() {
    ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n "s|.* /proc/\([0-9]*\)/exe -> $worker\( (deleted)\)\{0,1\}\$|\1|p" |
        grep .
}
# Workers that somebody started from elsewhere; the socket, or its name, is theirs.
others() {
    ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's|.* -> \(/.*/codeland-worker\)\( (deleted)\)\{0,1\}$|\1|p' |
        grep -vx "$worker" | sort -u | grep .
}
if [ -S "$socket" ] && ! running >/dev/null && where=$(others); then
    failed "the worker that listens at $socket is $(echo "$where" | head -n1), not $worker: upgrade it there, or stop it and install again"
fi
for pid in $(running); do
    cmp -s "/proc/$pid/exe" "$worker" || changed=1
done
if [ -d /run/systemd/system ]; then
    step "starting the systemd unit codeland-worker"
    cat >/etc/systemd/system/codeland-worker.service <<'UNIT'
[Unit]
Description=CodeLand worker: makes and runs containers
After=network.target

[Service]
ExecStart=/usr/local/libexec/codeland/codeland-worker
Restart=always
RestartSec=250ms
# SIGTERM leaves named runners alive, and the next worker adopts them.
KillMode=process
Delegate=yes
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload && systemctl -q enable codeland-worker || failed "systemctl refused"
    if [ "$changed" = 1 ]; then action=restart; else action=start; fi
    said=$(systemctl "$action" codeland-worker 2>&1) || failed "systemctl $action: $said"
else
    step "starting the worker, kept running by worker-keep"
    cat >/usr/local/libexec/codeland/worker-keep <<'KEEP'
#!/bin/sh
# Starts the worker again when it ends; where systemd runs, that does it. SIGTERM ends both.
worker=
trap 'trap - TERM; kill -TERM "$worker" 2>/dev/null; wait; exit 0' TERM
while :; do
    /usr/local/libexec/codeland/codeland-worker &
    worker=$!
    wait "$worker"
    sleep 1
done
KEEP
    chmod 755 /usr/local/libexec/codeland/worker-keep
    if [ "$changed" = 1 ]; then
        for pid in $(running); do kill -TERM "$pid"; done
        for turn in $(seq 200); do listens || break; sleep 0.1; done
    fi
    keeps=$(grep -al '^/bin/sh.*/usr/local/libexec/codeland/worker-keep' /proc/[0-9]*/cmdline 2>/dev/null)
    if [ -z "$keeps" ] && ! listens; then
        mkdir -p "$state/log"
        setsid /usr/local/libexec/codeland/worker-keep </dev/null >>"$state/log/worker.log" 2>&1 &
    fi
fi
for turn in $(seq 300); do
    listens && exit 0
    sleep 0.1
done
failed "the worker does not listen at $socket: $(tail -n1 "$state/log/worker.log" 2>/dev/null)"
