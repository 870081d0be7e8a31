# Starts the agent of exactly the operator's build, receiving it first if this host lacks it. POSIX sh, as root.
# Arguments: the agents' folder, the agent's SHA-256 (also its file name), its size in bytes.
# Answers, one a line, after "barque-bootstrap: ": `have MACHINE`, `need MACHINE` then `run`, or `failed TEXT`.
# After `have` or `run` the input and output belong to the agent.
set -u
umask 077
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
cd /

folder=$1
digest=$2
size=$3
agent=$folder/$digest

answer() {
    echo "barque-bootstrap: $*"
}

fail() {
    answer "failed $*"
    exit 1
}

size_of() {
    wc -c <"$1" | tr -d ' '
}

# Keeps the newest other build, as the previous barque may be used again; a running one lives on without its name.
# Parts older than an hour are from uploads that were killed.
remove_old() {
    others=0
    for name in $(ls -t "$folder"); do
        case $name in
        "$digest" | *[!0-9a-f]*) continue ;;
        esac
        others=$((others + 1))
        if [ "$others" -gt 1 ]; then
            rm -f "$folder/$name"
        fi
    done
    find "$folder" -name '.*.part' -mmin +60 -exec rm -f {} + 2>/dev/null
}

receive() {
    mkdir -p "$folder" || fail "cannot make $folder"
    remove_old
    part=$folder/.$digest.$$.part
    trap 'rm -f "$part"' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    head -c "$size" >"$part" || fail "cannot write $part"
    got=$(size_of "$part")
    [ "$got" = "$size" ] || fail "got $got of $size bytes"
    if command -v sha256sum >/dev/null 2>&1; then
        sum=$(sha256sum <"$part")
        [ "${sum%% *}" = "$digest" ] || fail "the bytes that came have digest ${sum%% *}, not $digest"
    fi
    chmod 700 "$part" && mv -f "$part" "$agent" || fail "cannot move $part to $agent"
    trap - EXIT HUP INT TERM PIPE
}

if [ -f "$agent" ] && [ -x "$agent" ] && [ "$(size_of "$agent")" = "$size" ]; then
    # The time of last use decides which builds stay.
    touch "$agent"
    answer "have $(uname -m)"
else
    answer "need $(uname -m)"
    receive
    answer run
fi
exec "$agent" agent
