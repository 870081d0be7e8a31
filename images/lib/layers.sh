# The image's layers. Each is a deterministic tar, compressed by zstd, kept under a hash of what it is made from:
#   $LAYERS/<name>-<key>/{layer.tar.zst,about,programs}
# Sourced by images/build, after lib/components.sh and lib/base.sh; VERSION_OF and BARQUE_BIN are its.

# From the bottom. What changes most is last.
LAYER_NAMES="base runtime kubernetes etcd coredns calico barque"

# layer_components LAYER: the Go components whose programs it holds.
layer_components() {
    case $1 in
        runtime) echo containerd runc cni-plugins ;;
        kubernetes | etcd | coredns | calico) echo "$1" ;;
    esac
}

layer_key() { # LAYER
    local component
    {
        echo "$1"
        cat "$IMAGES/lib/layers.sh"
        case $1 in
            base) base_key ;;
            calico) cat "$IMAGES/lib/calico.sh" ;;
            barque) echo "$RELEASE" && sha256sum <"$BARQUE_BIN" ;;
        esac
        for component in $(layer_components "$1"); do
            echo "$component ${VERSION_OF[$component]} $(component_key "$component" "${VERSION_OF[$component]}")"
        done
    } | sha256sum | cut -c1-16
}

# layer LAYER: prints the folder that holds it, made if need be.
layer() {
    local target
    target=$LAYERS/$1-$(layer_key "$1")
    [ -d "$target" ] || make_layer "$1" "$target"
    touch "$target"
    echo "$target"
}

make_layer() { # LAYER TARGET
    local work=$CACHE/tmp/layer-$1.$$
    LAYER=$1 TREE=$work/tree PROGRAMS=$work/out/programs
    rm -rf "$work"
    mkdir -p "$TREE" "$work/out" "$LAYERS"
    : >"$PROGRAMS"
    "layer_$1"
    pack "$TREE" "$work/out"
    rm -rf "$TREE"
    mv "$work/out" "$2"
    rm -rf "$work"
}

# archive TREE: the same bytes from the same tree, whenever and by whomever it is made.
archive() {
    (cd "$1" && LC_ALL=C tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=posix \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -- *)
}

# pack TREE FOLDER: FOLDER/layer.tar.zst, and FOLDER/about with "digest diff-id size unpacked-size".
pack() {
    local tar=$2/layer.tar
    archive "$1" >"$tar"
    # zstd's output does not depend on the number of threads, as long as its threaded mode is used.
    zstd -q -12 -T0 "$tar" -o "$tar.zst"
    echo "sha256:$(digest_of "$tar.zst") sha256:$(digest_of "$tar") $(stat -c %s "$tar.zst") $(stat -c %s "$tar")" >"$2/about"
    rm "$tar"
}

digest_of() { sha256sum <"$1" | cut -d' ' -f1; }

# A layer's tree is made with these two, which also write its entries for release.yaml. What a node needs outside
# pods as well has "host" at the end.
program() { # SOURCE PATH NAME VERSION [host]
    install -D -m 755 "$1" "$TREE/$2"
    printf '  - {name: %s, version: %s, path: %s, layer: %s, sha256: "%s", size: %s%s}\n' "$3" "$4" "$2" "$LAYER" \
        "$(digest_of "$1")" "$(stat -Lc %s "$1")" "${5:+, host: true}" >>"$PROGRAMS"
}
other_name() { # TARGET PATH NAME VERSION [host]
    install -d "$TREE/${2%/*}"
    ln -s "$1" "$TREE/$2"
    printf '  - {name: %s, version: %s, path: %s, layer: %s, link: %s%s}\n' "$3" "$4" "$2" "$LAYER" "$1" \
        "${5:+, host: true}" >>"$PROGRAMS"
}

layer_base() {
    local root=$TREE.root name version
    build_base "$root"
    version=$(bird_version "$root")
    [ "$version" = "${VERSION_OF[bird]}" ] || die "Debian has bird $version, the release table ${VERSION_OF[bird]}"
    for name in bird bird6 birdc birdc6; do program "$root/usr/sbin/$name" "usr/sbin/$name" "$name" "$version"; done
    # The name of BIRD's light client, which Debian does not build.
    other_name birdc usr/sbin/birdcl birdcl "$version"
    other_name birdc6 usr/sbin/birdcl6 birdcl6 "$version"
    cp -a "$root/." "$TREE/"
    rm -rf "$root"
}

layer_runtime() {
    local bin name version=${VERSION_OF[containerd]}
    bin=$(build_component containerd "$version")
    program "$bin/containerd" usr/bin/containerd containerd "$version" host
    other_name containerd usr/bin/ctr ctr "$version" host
    program "$bin/containerd-shim-runc-v2" usr/bin/containerd-shim-runc-v2 containerd-shim-runc-v2 "$version" host
    version=${VERSION_OF[runc]}
    program "$(build_component runc "$version")/runc" usr/bin/runc runc "$version" host
    version=${VERSION_OF[cni-plugins]}
    program "$(build_component cni-plugins "$version")/cni-plugins" opt/cni/bin/cni-plugins cni-plugins "$version" host
    for name in bandwidth bridge host-local loopback portmap tuning; do
        other_name cni-plugins "opt/cni/bin/$name" "$name" "$version" host
    done
}

layer_kubernetes() {
    local name version=${VERSION_OF[kubernetes]}
    program "$(build_component kubernetes "$version")/hyperkube" usr/bin/hyperkube hyperkube "$version" host
    for name in kubelet kubectl; do other_name hyperkube "usr/bin/$name" "$name" "$version" host; done
    for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
        other_name hyperkube "usr/bin/$name" "$name" "$version"
    done
}

layer_etcd() {
    local name version=${VERSION_OF[etcd]}
    program "$(build_component etcd "$version")/etcd" usr/bin/etcd etcd "$version" host
    for name in etcdctl etcdutl; do other_name etcd "usr/bin/$name" "$name" "$version" host; done
}

layer_coredns() {
    local version=${VERSION_OF[coredns]}
    program "$(build_component coredns "$version")/coredns" usr/bin/coredns coredns "$version"
}

layer_barque() {
    program "$BARQUE_BIN" usr/bin/barque barque "$RELEASE"
}
