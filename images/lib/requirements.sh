# What a build calls, installed where this is root on Debian and named where not. Sourced by images/build.

requirements() { # payload | lab-node | all
    local missing=()
    need() { [ -e "$1" ] || command -v "$1" >/dev/null || missing+=("$2"); }
    need mmdebstrap mmdebstrap
    need jq jq
    if [ "$1" != lab-node ]; then
        command -v go >/dev/null || die "Go is missing: install version $(sed -n 's/^go //p' "$IMAGES/modules/kubernetes/$(sed -n 's/^default: *//p' "$REPO/assets/release.yaml")/go.mod") or later"
        need zstd zstd
        need gcc gcc
        need readelf binutils
        need /usr/include/seccomp.h libseccomp-dev
        need /usr/include/stdlib.h libc6-dev
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        can_install || die "missing: ${missing[*]}; as root on Debian $SUITE they are installed by themselves, or run: sudo apt-get install ${missing[*]}"
        apt_install "${missing[@]}"
    fi
    # The root filesystems are made by chroot, from this machine's own package sources.
    [ "$(id -u)" = 0 ] || die "making a Debian root filesystem needs root"
    grep -qs "VERSION_CODENAME=$SUITE" /etc/os-release || die "the images are made from the package sources of a Debian $SUITE; this is another system"
    [ -n "$(debian_sources)" ] || apt-get update -q >"$CACHE/tmp/apt.log" 2>&1 || die "apt-get update failed: $(tail -3 "$CACHE/tmp/apt.log")"
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -qs '^ID=debian' /etc/os-release; }

apt_install() {
    local log=$CACHE/tmp/apt.log
    install_them() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }
    { install_them "$@" || { apt-get update -q && install_them "$@"; }; } >"$log" 2>&1 || die "apt-get install $* failed: $(tail -3 "$log")"
}
