# The unified image's lowest layer: a small Debian root with what kube-proxy, Calico and a person at a debug prompt
# call. Sourced by images/build, after lib/debian.sh.

# busybox stands for coreutils, procps and the like: a tenth of their size, and every node unpacks this.
BASE_PACKAGES="base-files bash bird busybox ca-certificates conntrack dash ipset iproute2 iptables kmod libc-bin nftables runit"

base_key() {
    { cat "$IMAGES/lib/base.sh" "$IMAGES/lib/debian.sh"; debian_versions $BASE_PACKAGES libc6 libssl3; } | sha256sum | cut -c1-16
}

build_base() { # TARGET
    local root=$1
    # "extract" unpacks without running maintainer scripts: nothing of the build's moment gets in, and neither perl
    # nor debconf has to be there. What the scripts would have done follows by hand.
    debian_root extract "$root" "${BASE_PACKAGES// /,}" --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr
    find "$root/usr/share/ca-certificates" -name '*.crt' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$root.crt"
    keep_only "$root/usr" bin sbin lib lib64
    keep_only "$root/usr/lib" x86_64-linux-gnu os-release
    rm -rf "$root"/usr/lib/x86_64-linux-gnu/{gconv,security,audit,engines-3,ossl-modules,perl*,e2fsprogs,sasl2,krb5,systemd}
    keep_only "$root/etc" bash.bashrc debian_version ethertypes host.conf iproute2 ld.so.conf ld.so.conf.d netconfig \
        os-release protocols rpc services
    keep_only "$root" bin dev etc lib lib64 proc sbin sys usr
    keep_programs "$root"
    prune_libraries "$root"
    rm -rf "$root"/dev/*
    install -d "$root"/{opt/cni/bin,root,run,tmp,etc/ssl/certs,usr/local/bin,usr/share/empty} \
        "$root"/var/{lib/calico,log/calico,tmp}
    ln -s /run "$root/var/run"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    mv "$root.crt" "$root/etc/ssl/certs/ca-certificates.crt"
    cat >"$root/etc/passwd" <<-'END'
	root:x:0:0:root:/root:/bin/bash
	nobody:x:65534:65534:nobody:/nonexistent:/bin/false
	END
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    # Container runtimes mount their own over these.
    touch "$root"/etc/{hosts,hostname,resolv.conf}
    ldconfig -r "$root"
    rm -rf "$root/var/cache"
}

# keep_only FOLDER NAME…: a list of what stays needs no change when a package learns to bring more.
keep_only() {
    local folder=$1 file
    shift
    for file in "$folder"/* "$folder"/.[!.]*; do
        case " $* " in *" ${file##*/} "*) ;; *) rm -rf "$file" ;; esac
    done
}

bird_version() { chroot "$1" bird --version 2>&1 | sed -n 's/^BIRD version //p'; }

# keep_programs ROOT: only the programs that are asked for stay, then names that alternatives would have made.
keep_programs() {
    local root=$1 name file
    local keep=" bash dash sh busybox bird bird6 birdc birdc6 conntrack ipset ip ss bridge tc nft kmod modprobe lsmod
        xtables-nft-multi runsv runsvdir sv svlogd chpst runsvchdir getent ldconfig "
    keep=$(echo " $keep " | tr -s '\n ' ' ')
    for file in "$root"/usr/{bin,sbin}/*; do
        name=${file##*/}
        case $name in
            *-legacy* | *-apply) rm "$file" ;;
            iptables-* | ip6tables-* | ebtables-nft* | arptables-nft*) ;;
            *) case $keep in *" $name "*) ;; *) rm -rf "$file" ;; esac ;;
        esac
    done
    ln -sf dash "$root/usr/bin/sh"
    for name in iptables ip6tables; do
        for file in "" -save -restore; do ln -sf xtables-nft-multi "$root/usr/sbin/$name$file"; done
    done
    for name in $("$root/usr/bin/busybox" --list); do
        case $name in busybox | sh | ash | init | linuxrc | run-init | runsv* | svlogd | sv | su | login | passwd) continue ;; esac
        [ -e "$root/usr/bin/$name" ] || [ -L "$root/usr/bin/$name" ] || [ -e "$root/usr/sbin/$name" ] ||
            [ -L "$root/usr/sbin/$name" ] || ln -s busybox "$root/usr/bin/$name"
    done
}

# prune_libraries ROOT: a shared library that nothing left needs goes, until none is left.
prune_libraries() {
    local root=$1 lib removed=1 needed
    while [ "$removed" = 1 ]; do
        removed=0
        needed=$(find "$root/usr" -type f \( -path '*/bin/*' -o -path '*/sbin/*' -o -name '*.so*' \) -print0 |
            { xargs -0 readelf -d 2>/dev/null || true; } | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | LC_ALL=C sort -u)
        for lib in "$root"/usr/lib/x86_64-linux-gnu/*.so*; do
            case ${lib##*/} in ld-linux* | libnss_dns* | libnss_files* | libresolv*) continue ;; esac
            if ! grep -qxF "${lib##*/}" <<<"$needed" && ! linked "$root" "$lib" "$needed"; then
                rm -f "$lib"
                removed=1
            fi
        done
    done
}

# linked ROOT LIB NEEDED: the file is what the symlink of a needed name leads to.
linked() {
    local link
    [ ! -L "$2" ] || return 1
    for link in "${2%/*}"/*.so*; do
        [ -L "$link" ] && [ "$(readlink "$link")" = "${2##*/}" ] && grep -qxF "${link##*/}" <<<"$3" && return 0
    done
    return 1
}
