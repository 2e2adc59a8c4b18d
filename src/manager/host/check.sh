# Looks at a machine that is to be a worker; changes nothing. Reads: now, arch, packages, files.
# Each line that it prints has fields with tabs between them:
#   check NAME ok|warn|bad TEXT COMMAND   fact NAME VALUE   sum FILE SHA256
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C
check() { printf 'check\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-}"; }
fact() { printf 'fact\t%s\t%s\n' "$1" "$2"; }
setting() {
    value=$(sed -n "/^\[$1\]/,/^\[/s/^$2[ ]*=[ ]*//p" /etc/codeland/codeland.conf 2>/dev/null | tail -n1)
    echo "${value:-$3}"
}

me=$(id -un)
if [ "$(id -u)" = 0 ]; then
    fact root yes
    check login ok "logs in as root"
elif sudo -n true 2>/dev/null; then
    fact root sudo
    check login ok "logs in as $me, who may use sudo"
else
    fact root no
    check login bad "$me is not root, and may not use sudo without a password" \
        "echo '$me ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/codeland"
fi

machine=$(uname -m)
if [ "$machine" = "$arch" ]; then
    check architecture ok "$machine"
else
    check architecture bad "$machine, and the manager's programs are for $arch" ""
fi

release=$(uname -r)
major=${release%%.*} minor=${release#*.}
minor=${minor%%[!0-9]*}
if [ "$major" -gt 5 ] || { [ "$major" -eq 5 ] && [ "$minor" -ge 19 ]; }; then
    check kernel ok "Linux $release"
else
    check kernel bad "Linux $release; 5.19 is the least (id-mapped overlays)" "apt-get install -y linux-image-$arch"
fi

if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    check cgroups ok "v2"
elif [ -d /sys/fs/cgroup/memory ]; then
    check cgroups ok "v1"
else
    check cgroups bad "the memory controller is off" \
        "add cgroup_enable=memory to the kernel's command line and reboot"
fi

spaces=$(cat /proc/sys/user/max_user_namespaces 2>/dev/null || echo 0)
if [ "$spaces" -ge 64 ]; then
    check namespaces ok "$spaces user namespaces"
else
    check namespaces bad "$spaces user namespaces are allowed" "sysctl -w user.max_user_namespaces=10000"
fi

if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ]; then
    check apparmor ok "this kernel does not have it, or it is off"
elif command -v apparmor_parser >/dev/null; then
    check apparmor ok "it confines runners"
else
    check apparmor warn "it is on, but cannot confine runners: there is no apparmor_parser" \
        "apt-get install -y apparmor, and restart the worker"
fi

missing=
# shellcheck disable=SC2086
installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' $packages 2>/dev/null)
for package in $packages; do
    echo "$installed" | grep -qx "installed $package" || missing="$missing $package"
done
if ! command -v apt-get >/dev/null; then
    check packages bad "there is no apt-get: this is no Debian 12" ""
elif [ -n "$missing" ]; then
    fact missing "${missing# }"
    check packages bad "missing:$missing" "apt-get install -y --no-install-recommends$missing"
else
    check packages ok "LXC $(dpkg-query --show --showformat='${Version}' liblxc-common), and all else"
fi

base=$(setting worker id_base 1073741824)
last=$((base + $(setting oven max_runners 64) * $(setting worker id_count 65536)))
taken=$(awk -F: -v base="$base" -v last="$last" \
    '$2 < last && $2 + $3 > base { print $1; exit }' /etc/subuid /etc/subgid 2>/dev/null)
if [ -z "$taken" ]; then
    check ids ok "$base to $((last - 1)) are free"
else
    check ids bad "$base to $((last - 1)) overlap with those of $taken in /etc/subuid or /etc/subgid" \
        "set worker.id_base in /etc/codeland/codeland.conf"
fi

memory=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) / 1024))
if [ "$memory" -ge 512 ]; then
    check memory ok "$memory MiB available"
else
    check memory warn "$memory MiB available: few runners fit" ""
fi

state=$(setting paths state_dir /var/lib/codeland)
name=$(setting oven template base)
need=2048
[ -d "$state/templates/$name/rootfs" ] && need=64 && fact template "$name"
at=$state
while [ ! -d "$at" ]; do at=$(dirname "$at"); done
free=$(($(df -Pk "$at" | awk 'NR == 2 { print $4 }') / 1024))
if [ "$free" -ge "$need" ]; then
    check disk ok "$free MiB free at $at"
else
    check disk bad "$free MiB free at $at, $need are needed" "make room on $(df -Pk "$at" | awk 'NR == 2 { print $6 }')"
fi

at=/usr/local/libexec/codeland
while [ ! -d "$at" ]; do at=$(dirname "$at"); done
free=$(($(df -Pk "$at" | awk 'NR == 2 { print $4 }') / 1024))
if [ "$free" -ge 16 ]; then
    check programs ok "$free MiB free at $at"
else
    check programs bad "$free MiB free at $at, 16 are needed" "make room on $(df -Pk "$at" | awk 'NR == 2 { print $6 }')"
fi

skew=$(($(date +%s) - now))
if [ "$skew" -ge -30 ] && [ "$skew" -le 30 ]; then
    check clock ok "as the manager's"
else
    check clock warn "$skew s from the manager's" "timedatectl set-ntp true"
fi

for file in $files; do
    sum=$(sha256sum "$file" 2>/dev/null)
    printf 'sum\t%s\t%s\n' "$file" "${sum%% *}"
done

socket=$(setting paths run_dir /run/codeland)/worker.sock
fact socket "$socket"
if [ -S "$socket" ]; then
    check worker ok "$(/usr/local/libexec/codeland/codeland-worker --version 2>/dev/null || echo a worker) listens at $socket"
else
    check worker bad "no worker listens at $socket" "codeland worker doctor NAME --install"
fi
