# Root filesystems from the Debian packages that this very machine would install. Sourced by images/build.

SUITE=bookworm

# debian_sources: one-line sources of the host's own Debian archives (and no other vendor's).
debian_sources() {
    apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -n "s/^Debian|${SUITE}[^|]*|//p" | LC_ALL=C sort -u
}

# debian_versions PACKAGE…: what would be installed, which is what a root filesystem's cache key depends on.
debian_versions() { apt-cache policy "$@" | sed -n 's/^\([^ ]*\):$/\1/p; s/^  Candidate: //p'; }

# debian_root VARIANT TARGET PACKAGES [mmdebstrap option…]
debian_root() {
    local variant=$1 target=$2 packages=$3 options=() line
    shift 3
    # The host's way to its archive (a proxy, a retry count) is the way here too.
    while read -r line; do options+=(--aptopt="$line"); done < <(apt-config dump | grep -E '^Acquire::((https?|ftp)::Proxy|Retries|Check-)' || true)
    debian_sources >"$target.list"
    [ -s "$target.list" ] || die "this machine's apt has no Debian $SUITE source; the images are made of that"
    SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --mode=root --variant="$variant" --include="$packages" --format=directory \
        "${options[@]}" "$@" "$SUITE" "$target" "$target.list" 2>"$target.log" || {
        tail -20 "$target.log" >&2
        die "mmdebstrap failed"
    }
    rm -f "$target.list" "$target.log"
}
