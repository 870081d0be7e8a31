# How one Go component is compiled: sourced by images/build, images/tidy and images/test-deterministic.

# Every component is built in this mode, whatever the user's environment says: it is part of what makes a build
# repeatable. Checksum checking stays as Go has it.
go_environment() {
    export GOFLAGS=-buildvcs=false GO111MODULE=on GOWORK=off GOTOOLCHAIN=local GOOS=linux GOARCH=amd64 GOAMD64=v1
    unset GOEXPERIMENT CGO_CFLAGS CGO_LDFLAGS GONOSUMDB GONOSUMCHECK GOPRIVATE GOINSECURE
}

# module_files COMPONENT [VERSION]: its go.mod, go.sum and own sources, one a line. A component with one go.mod for
# each release (kubernetes) keeps them in a folder of that version.
module_files() {
    local dir=$IMAGES/modules/$1 mod=$IMAGES/modules/$1
    [ -d "$dir/${2:-none}" ] && mod=$dir/$2
    printf '%s\n' "$mod/go.mod" "$mod/go.sum"
    find "$dir" -maxdepth 1 -type f ! -name 'go.*' | LC_ALL=C sort
}

# stage_module COMPONENT VERSION WORKDIR: a build folder with the module's files and its generated packages.
stage_module() {
    local file
    mkdir -p "$3"
    for file in $(module_files "$1" "$2"); do
        [ ! -f "$file" ] || cp "$file" "$3/"
    done
    [ ! -f "$3/generated" ] || generate_packages "$3"
}

# Programs whose upstream main cannot be imported become packages: the file `generated` has a line for each of them,
# "module folder name". Their source is copied from the pinned (and checksummed) module, never committed here.
generate_packages() {
    local module folder name source file
    while read -r module folder name; do
        case $module in '' | '#'*) continue ;; esac
        source=$(cd "$1" && go mod download -json "$module" | jq -r .Dir)/$folder
        mkdir -p "$1/gen/$name"
        for file in "$source"/*.go; do
            case $file in *_test.go | *_windows.go) continue ;; esac
            sed -e "s/^package main\$/package ${name//-/}/" -e 's/^func main() {/func Main() {/' "$file" \
                >"$1/gen/$name/${file##*/}"
        done
    done <"$1/generated"
}
