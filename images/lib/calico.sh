# Calico's layer: its programs, and the files of its node image from the same pinned module. Sourced by images/build,
# after lib/layers.sh.

calico_source() { (cd "$IMAGES/modules/calico" && go mod download -json github.com/projectcalico/calico | jq -r .Dir); }

layer_calico() {
    local name source bin version=${VERSION_OF[calico]}
    bin=$(build_component calico "$version")
    source=$(calico_source)
    program "$bin/calico" usr/bin/hypercalico hypercalico "$version" host
    for name in calico-node calico-kube-controllers calicoctl check-status; do
        other_name hypercalico "usr/bin/$name" "$name" "$version"
    done
    for name in calico calico-ipam; do
        other_name ../../../usr/bin/hypercalico "opt/cni/bin/$name" "$name" "$version" host
    done
    other_name ../../../usr/bin/hypercalico opt/cni/bin/install install "$version"

    # The only path at which its liveness check looks for BIRD's client; without it the pod is killed every minute.
    other_name ../sbin/birdcl usr/bin/birdcl birdcl "${VERSION_OF[bird]}"

    # Files of a Go module are read-only and have no execute bit.
    cp -r --no-preserve=mode "$source/node/filesystem/etc" "$TREE/"
    cp -r --no-preserve=mode "$source/confd/etc/calico" "$TREE/etc/"
    install -D -m 755 -t "$TREE/usr/sbin" "$source"/node/filesystem/sbin/*
    chmod 755 "$TREE/etc/rc.local"
    find "$TREE/etc/service" -name run -exec chmod 755 {} +
    find "$TREE" '(' -name .gitkeep -o -name README.md ')' -delete
    stock_bird "$TREE/etc/calico/confd/templates"
    quick_sessions "$TREE/etc/calico/confd/templates"
    one_way_sessions "$TREE/etc/calico/confd/templates"
}

# quick_sessions TEMPLATES: how soon BIRD tries a neighbour that was not there yet. The template's 2 s and 5 s are most
# of the time in which a restarted node has no routes; a reflector that is gone is asked once a second and node.
quick_sessions() {
    sed -i -e 's/^  connect delay time 2;$/  connect delay time 1;/' -e 's/^  connect retry time 5;$/  connect retry time 1;/' \
        -e 's/^  error wait time 5,30;$/  error wait time 1,30;/' "$1/bird.cfg.template"
    (($(grep -cE '^  (connect (delay|retry) time 1|error wait time 1,30);$' "$1/bird.cfg.template") == 3)) ||
        die "the timers in Calico's BIRD template are not what lib/calico.sh expects"
}

# one_way_sessions TEMPLATES: of two nodes one connects. Where both do so in the same moment, as after a restart, BIRD gives
# up one of the two connections and with it the graceful restart: in the lab a node had no route to another one for 2 to 3 s.
# Calico has this rule for its mesh and for peers by address, not for those by selector, whose data tell reflectors alone from
# routers outside: so a reflector connects to everybody, and of two reflectors the one with the greater address.
one_way_sessions() {
    awk '
        /^# -+ Node-specific peers -+$/ { here = 1 }
        here && /^\{\{- if ne \$data.restart_time ""\}\}$/ {
            print "{{- if and (ne \"\" $data.rr_cluster_id) (or (eq \"\" $node_cluster_id) (gt $data.ip $node_ip))}}"
            print "  passive on; # One way: the reflector connects."
            print "{{- end}}"
            here = 0; changed++
        }
        { print }
        END { exit changed != 1 }' "$1/bird.cfg.template" >"$1/.bird.cfg.template" ||
        die "the peers in Calico's BIRD template are not what lib/calico.sh expects"
    mv "$1/.bird.cfg.template" "$1/bird.cfg.template"
}

# stock_bird TEMPLATES: Debian's BIRD does not know Calico's krt_tunnel, which chooses IPIP for a route; there is no
# IPIP in these clusters. With it goes the if/else that has nothing else in its branches.
stock_bird() {
    sed -i -e '/if defined(bgp_next_hop) && ( bgp_next_hop ~ {{$network}} ) then$/d' -e '/^    else$/d' \
        -e '/krt_tunnel = /d' "$1/bird_ipam.cfg.template"
    ! grep -rnE 'krt_tunnel|^ *(else|if .* then) *$' "$1/bird_ipam.cfg.template" ||
        die "Calico's BIRD template is not what lib/calico.sh expects"
}

# calico_crds: all that its programs want with the Kubernetes datastore.
calico_crds() {
    local file
    for file in "$(calico_source)"/libcalico-go/config/crd/*.yaml; do
        echo ---
        cat "$file"
    done
}
