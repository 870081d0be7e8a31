# The Go components: what each is built from, how, and where its programs lie in the image. Sourced after lib/go.sh.

COMPONENTS="kubernetes etcd containerd runc cni-plugins coredns calico age"

# component_recipe COMPONENT VERSION sets
#   MODULE   the module whose version must be the release table's
#   OUTPUTS  "package=program" pairs
#   TAGS, CGO, LDFLAGS
component_recipe() {
    local number=${2#v}
    TAGS= CGO=0 LDFLAGS="-s -w -buildid="
    case $1 in
        kubernetes)
            MODULE=k8s.io/kubernetes OUTPUTS=.=hyperkube TAGS=selinux,notest,grpcnotrace
            local minor=${number#*.} package
            for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
                LDFLAGS+=" -X $package.gitVersion=$2 -X $package.gitMajor=${number%%.*} -X $package.gitMinor=${minor%%.*}"
                LDFLAGS+=" -X $package.gitTreeState=clean"
            done
            ;;
        etcd) MODULE=go.etcd.io/etcd/server/v3 OUTPUTS=.=etcd ;;
        containerd)
            MODULE=github.com/containerd/containerd/v2 TAGS=urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper,no_tracing
            OUTPUTS=".=containerd $MODULE/cmd/containerd-shim-runc-v2=containerd-shim-runc-v2"
            LDFLAGS+=" -X $MODULE/version.Version=$2"
            ;;
        runc)
            # nsenter is C, and seccomp filters need libseccomp. External linking leaves a build id of its own.
            MODULE=github.com/opencontainers/runc OUTPUTS=$MODULE=runc CGO=1 TAGS=seccomp,netgo,osusergo,urfave_cli_no_docs
            LDFLAGS+=" -linkmode external -extldflags '-static -Wl,--build-id=none'"
            ;;
        cni-plugins)
            MODULE=github.com/containernetworking/plugins OUTPUTS=.=cni-plugins
            LDFLAGS+=" -X $MODULE/pkg/utils/buildversion.BuildVersion=$2"
            ;;
        # For the operator's image alone: it opens `!age` values of inventories.
        age) MODULE=filippo.io/age OUTPUTS=$MODULE/cmd/age=age LDFLAGS+=" -X main.Version=$2" ;;
        coredns) MODULE=github.com/coredns/coredns OUTPUTS=.=coredns LDFLAGS+=" -X $MODULE/coremain.GitCommit=$2" ;;
        calico)
            MODULE=github.com/projectcalico/calico OUTPUTS=.=calico
            LDFLAGS+=" -X $MODULE/pkg/buildinfo.Version=$2 -X $MODULE/calicoctl/calicoctl/commands.VERSION=$2"
            LDFLAGS+=" -X barque/images/calico/gen/checkstatus.VERSION=$2"
            ;;
    esac
}

# check_pin COMPONENT VERSION: the module's go.mod names the version of the release table. A module without version
# tags carries its release as a comment on the require line.
check_pin() {
    local file
    component_recipe "$1" "$2"
    read -r file < <(module_files "$1" "$2")
    awk -v module="$MODULE" -v want="$2" '
        { sub(/^require /, "") }
        $1 == module && $2 != "=>" { found = ($4 ~ /^v[0-9]/) ? $4 : $2 }
        END { if (found != want) { print FILENAME " pins " module " at " found ", the release table at " want; exit 1 } }
    ' "$file" >&2
}

# component_key COMPONENT VERSION: a hash of all that decides the result.
component_key() {
    component_recipe "$1" "$2"
    {
        go version
        echo "$OUTPUTS|$TAGS|$CGO|$LDFLAGS"
        module_files "$1" "$2" | xargs cat
        cat "$IMAGES/lib/go.sh"
        # The C parts come from Debian, so their versions count as well.
        [ "$CGO" = 0 ] || dpkg-query -W -f '${Package} ${Version}\n' gcc libc6-dev libseccomp-dev
    } | sha256sum | cut -c1-16
}

# build_component COMPONENT VERSION: prints the folder that holds its programs, compiled if need be.
build_component() {
    local target work pair
    target=$CACHE/bin/$1-$(component_key "$1" "$2")
    component_recipe "$1" "$2"
    if [ ! -d "$target" ]; then
        work=$CACHE/tmp/$1.$$
        rm -rf "$work"
        stage_module "$1" "$2" "$work/src"
        mkdir -p "$work/out" "$CACHE/bin"
        for pair in $OUTPUTS; do
            (cd "$work/src" && CGO_ENABLED=$CGO go build -mod=readonly -trimpath -tags "$TAGS" -ldflags "$LDFLAGS" \
                -o "$work/out/${pair##*=}" "${pair%=*}") >&2
        done
        mv "$work/out" "$target"
        rm -rf "$work"
    fi
    touch "$target"
    echo "$target"
}
