# Makes a machine ready for the worker's files; as root. Reads: missing (packages). Prints
#   step TEXT   failed TEXT
set -u
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
umask 022
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    if ! "$@" </dev/null >"$log" 2>&1; then
        printf 'failed\t%s: %s\n' "$1 $2" "$(grep -v '^$' "$log" | tail -n1 | tr '\t' ' ')"
        exit 1
    fi
}
if [ -n "$missing" ]; then
    printf 'step\tinstalling packages: %s\n' "$missing"
    quietly apt-get update -q -o DPkg::Lock::Timeout=300
    # shellcheck disable=SC2086
    quietly apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
fi
getent group codeland >/dev/null || quietly groupadd --system codeland
if [ -n "${SUDO_USER:-}" ]; then
    # its ssh session opens the worker's socket
    quietly usermod -a -G codeland "$SUDO_USER"
fi
quietly mkdir -p /usr/local/bin /usr/local/libexec/codeland /usr/local/share/codeland/templates \
    /etc/codeland /var/lib/codeland
