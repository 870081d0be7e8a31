# The payload folder: an OCI image layout, manifests and release.yaml. Sourced by images/build, after lib/layers.sh.

LAYER_TYPE=application/vnd.oci.image.layer.v1.tar+zstd

# read_release: sets RELEASE (the default one if none was asked for) and VERSION_OF from assets/release.yaml.
declare -A VERSION_OF=()
read_release() {
    local table=$REPO/assets/release.yaml pairs name version
    [ -n "$RELEASE" ] || RELEASE=$(sed -n 's/^default: *//p' "$table")
    pairs=$(sed -n "/^ *- version: $RELEASE\$/{n;s/^ *components: {\(.*\)}\$/\1/p}" "$table" | tr -d '" ')
    [ -n "$pairs" ] ||
        die "no release $RELEASE in assets/release.yaml, which has: $(sed -n 's/^ *- version: //p' "$table" | xargs)"
    while IFS=: read -r name version; do VERSION_OF[$name]=$version; done < <(tr ',' '\n' <<<"$pairs")
}

find_barque() {
    if [ -z "${BARQUE_BIN:-}" ]; then
        [ -f "$REPO/Cargo.toml" ] || die "there is no Cargo.toml in $REPO to build barque from; set BARQUE_BIN"
        BARQUE_BIN=$(cd "$REPO" && cargo build --release --locked --bin barque --message-format json-render-diagnostics |
            jq -r 'select(.reason == "compiler-artifact" and .executable != null) | .executable' | tail -1)
    fi
    [ -x "$BARQUE_BIN" ] || die "no barque binary at '$BARQUE_BIN'"
    # It runs as PID 1 of pods and on hosts of any libc: nothing may have to be loaded.
    [[ $(readelf -l "$BARQUE_BIN") != *INTERP* ]] || die "$BARQUE_BIN is not static"
}

# blob FOLDER FILE: puts it under its digest and prints "digest size".
blob() {
    local digest
    digest=$(digest_of "$2")
    mv "$2" "$1/$digest"
    echo "sha256:$digest $(stat -c %s "$1/$digest")"
}

make_payload() {
    local work=$CACHE/tmp/payload.$$ target=$RELEASES/$RELEASE
    local blobs=$work/oci/blobs/sha256 name folder digest diff size unpacked config manifest
    PAYLOAD=$target
    rm -rf "$work"
    mkdir -p "$blobs" "$work/manifests" "$RELEASES"
    calico_crds >"$work/manifests/calico-crds.yaml"

    : >"$work/layers"
    : >"$work/programs"
    for name in $LAYER_NAMES; do
        folder=$(layer "$name")
        read -r digest diff size unpacked <"$folder/about"
        echo "$name $digest $diff $size $unpacked" >>"$work/layers"
        cat "$folder/programs" >>"$work/programs"
        ln "$folder/layer.tar.zst" "$blobs/${digest#sha256:}" 2>/dev/null ||
            cp "$folder/layer.tar.zst" "$blobs/${digest#sha256:}"
    done

    jq -Rnc '[inputs | split(" ")] as $layers | {
        architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
        config: {
            Entrypoint: ["/usr/bin/barque"], Cmd: ["pause"], WorkingDir: "/",
            Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        },
        rootfs: {type: "layers", diff_ids: [$layers[][2]]},
        history: [$layers[] | {created: "1970-01-01T00:00:00Z", created_by: "images/build: \(.[0])"}]
    }' <"$work/layers" >"$work/config"
    config=$(blob "$blobs" "$work/config")

    jq -Rnc --arg type $LAYER_TYPE --arg config "$config" '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: ($config | split(" ") | {
            mediaType: "application/vnd.oci.image.config.v1+json", digest: .[0], size: (.[1] | tonumber)
        }),
        layers: [inputs | split(" ") | {mediaType: $type, digest: .[1], size: (.[3] | tonumber)}]
    }' <"$work/layers" >"$work/manifest"
    manifest=$(blob "$blobs" "$work/manifest")

    echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
    jq -nc --arg manifest "$manifest" --arg version "$RELEASE" '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [$manifest | split(" ") | {
            mediaType: "application/vnd.oci.image.manifest.v1+json", digest: .[0], size: (.[1] | tonumber),
            platform: {architecture: "amd64", os: "linux"},
            annotations: {
                "io.containerd.image.name": "docker.io/library/barque:\($version)",
                "org.opencontainers.image.ref.name": $version
            }
        }]
    }' >"$work/oci/index.json"

    write_release_yaml "$work" "$config" "$manifest"
    rm "$work/layers" "$work/programs"
    # release.yaml names every digest, so where it is the same, all is.
    if ! cmp -s "$work/release.yaml" "$target/release.yaml"; then
        rm -rf "$target.old"
        [ ! -e "$target" ] || mv "$target" "$target.old"
        mv "$work" "$target"
    fi
    rm -rf "$work" "$target.old"
}

# used_by LAYER: a hash of what a pod uses whose program is in that layer: the layer, and the base under all.
used_by() {
    awk -v layer="$1" '$1 == "base" || $1 == layer { print $2 }' | sha256sum | cut -c1-12
}

write_release_yaml() { # WORK CONFIG MANIFEST
    local name digest diff size unpacked crds=manifests/calico-crds.yaml
    {
        echo "version: $RELEASE"
        echo "architecture: amd64"
        echo "image: docker.io/library/barque:$RELEASE"
        echo "images:"
        for name in etcd coredns calico barque; do
            echo "  $name: docker.io/library/barque:$name-$(used_by "$name" <"$1/layers")"
        done
        echo "manifest: {digest: \"${3% *}\", size: ${3#* }}"
        echo "config: {digest: \"${2% *}\", size: ${2#* }}"
        echo "layers:"
        while read -r name digest diff size unpacked; do
            echo "  - {name: $name, digest: \"$digest\", diffId: \"$diff\", size: $size, unpackedSize: $unpacked}"
        done <"$1/layers"
        echo "components:"
        cat "$1/programs"
        echo "files:"
        echo "  - {name: calico-crds, path: $crds, sha256: \"$(digest_of "$1/$crds")\", size: $(stat -c %s "$1/$crds")}"
    } >"$1/release.yaml"
}

size_table() {
    printf '\n%-12s %14s %14s\n' layer compressed unpacked
    sed -n 's/^  - {name: \([a-z]*\), digest: .*, size: \([0-9]*\), unpackedSize: \([0-9]*\)}$/\1 \2 \3/p' "$PAYLOAD/release.yaml" |
        awk '{ printf "%-12s %11.1f MB %11.1f MB\n", $1, $2 / 1e6, $3 / 1e6; c += $2; u += $3 }
            END { printf "%-12s %11.1f MB %11.1f MB\n", "total", c / 1e6, u / 1e6; exit c > 220e6 }' ||
        die "the payload is larger than the 220 MB it may be"
    echo "payload: $PAYLOAD"
}
