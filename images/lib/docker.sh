# Docker images: barque itself and the lab node. Sourced by images/build, after lib/debian.sh and lib/layers.sh.

# image_is TAG CONTENT: the image is there and was made from the same content.
image_is() { [ "$(docker image inspect -f '{{index .Config.Labels "barque.content"}}' "$1" 2>/dev/null)" = "$2" ]; }

# import_image TREE TAG CONTENT CHANGE…: the image that had the tag goes, unless a container runs it.
import_image() {
    local tree=$1 tag=$2 changes=(--change "LABEL barque.content=$3") change old
    shift 3
    for change; do changes+=(--change "$change"); done
    old=$(docker image inspect -f '{{.Id}}' "$tag" 2>/dev/null || true)
    archive "$tree" | docker import "${changes[@]}" - "$tag" >/dev/null
    [ -z "$old" ] || docker image rm "$old" >/dev/null 2>&1 || true
}

barque_image() {
    local tag=barque:$RELEASE tree=$CACHE/tmp/image.$$ content age
    age=$(build_component age "${VERSION_OF[age]}")
    content=$({
        cat "$PAYLOAD/release.yaml" "$IMAGES/lib/docker.sh"
        echo "$age"
    } | sha256sum | cut -c1-16)
    ! image_is "$tag" "$content" || return 0
    rm -rf "$tree"
    install -d "$tree"/{data,etc,root,usr/bin,opt/barque}
    install -d -m 1777 "$tree/tmp"
    echo root:x:0:0:root:/root:/bin/false >"$tree/etc/passwd"
    echo root:x:0: >"$tree/etc/group"
    install -m 755 "$BARQUE_BIN" "$tree/usr/bin/barque"
    install -m 755 "$age/age" "$tree/usr/bin/age"
    cp -rl "$PAYLOAD" "$tree/opt/barque/payload" 2>/dev/null || cp -r "$PAYLOAD" "$tree/opt/barque/payload"
    import_image "$tree" "$tag" "$content" 'ENTRYPOINT ["/usr/bin/barque"]' 'WORKDIR /data' 'ENV HOME=/root' \
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    rm -rf "$tree"
}

LAB_NODE_PACKAGES="ca-certificates iproute2 iputils-ping kmod mount openssh-server procps sudo systemd systemd-sysv util-linux"

# Not for a container, or work that a node of minutes' life does not need.
LAB_NODE_MASKED="apt-daily-upgrade.timer apt-daily.timer console-getty.service dev-hugepages.mount dev-mqueue.mount
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target hwclock.service
    proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount
    sys-kernel-tracing.mount systemd-ask-password-wall.path systemd-binfmt.service systemd-firstboot.service
    systemd-hwdb-update.service systemd-journald-audit.socket systemd-logind.service systemd-networkd.service
    systemd-pcrphase-sysinit.service systemd-pcrphase.service systemd-pstore.service systemd-random-seed.service
    systemd-remount-fs.service systemd-resolved.service systemd-tmpfiles-clean.timer systemd-udev-trigger.service
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service systemd-update-utmp-runlevel.service
    systemd-update-utmp.service"

# A bare Debian host with systemd and sshd, and nothing that Kubernetes wants.
lab_node_image() {
    local tag=barque-lab-node:$SUITE root=$CACHE/tmp/lab-node.$$ content unit
    content=$({
        cat "$IMAGES"/lab-node/* "$IMAGES/lib/docker.sh" "$IMAGES/lib/debian.sh"
        debian_versions $LAB_NODE_PACKAGES libc6 libssl3
    } | sha256sum | cut -c1-16)
    ! image_is "$tag" "$content" || return 0
    rm -rf "$root"
    debian_root minbase "$root" "${LAB_NODE_PACKAGES// /,}" --dpkgopt=path-exclude='/usr/share/doc/*' \
        --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*'
    install -m 755 "$IMAGES/lab-node/barque-lab-init" "$root/usr/local/sbin/"
    install -m 644 "$IMAGES/lab-node/sshd.conf" "$root/etc/ssh/sshd_config.d/barque-lab.conf"
    for unit in $LAB_NODE_MASKED; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
    # Each node makes its own identity; and its defaults for the kernel would become the host's.
    : >"$root/etc/machine-id"
    rm -rf "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/usr/lib/sysctl.d/* "$root"/dev/* "$root"/var/cache/apt/*.bin
    import_image "$root" "$tag" "$content" 'ENTRYPOINT ["/usr/local/sbin/barque-lab-init"]' \
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    rm -rf "$root"
}
