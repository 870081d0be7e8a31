#!/bin/sh
# Makes a fresh machine a host of the lab. Safe to repeat.
#   provision.sh node KEY GATEWAY NETWORK…   root lets KEY in; NETWORKs are reached over GATEWAY, also after a reboot
#   provision.sh router ADDRESS…             forwards between its networks, and learns pods' routes by BGP there
set -eu
umask 022

fail() {
    echo "provision.sh: $*" >&2
    exit 1
}

# A unit rather than a network manager's file: boxes have different managers, and all have systemd.
unit() {
    name=$1
    cat >"/etc/systemd/system/$name.service.new"
    mv -f "/etc/systemd/system/$name.service.new" "/etc/systemd/system/$name.service"
    systemctl daemon-reload
    systemctl enable --quiet "$name.service"
    systemctl restart "$name.service"
}

node() {
    [ $# -ge 2 ] || fail "node needs KEY and GATEWAY"
    key=$1 gateway=$2
    shift 2
    case $key in
    ssh-*\ *) ;;
    *) fail "this is no public key: $key" ;;
    esac
    install -d -m 700 /root/.ssh
    touch /root/.ssh/authorized_keys
    chmod 600 /root/.ssh/authorized_keys
    grep -qxF "$key" /root/.ssh/authorized_keys || printf '%s\n' "$key" >>/root/.ssh/authorized_keys
    ip=$(command -v ip) || fail "there is no program ip"
    {
        printf '[Unit]\nDescription=Ways to the other racks of the lab\nAfter=network-online.target\nWants=network-online.target\n'
        printf '\n[Service]\nType=oneshot\nRemainAfterExit=yes\n'
        for network; do printf 'ExecStart=%s route replace %s via %s\n' "$ip" "$network" "$gateway"; done
        printf '\n[Install]\nWantedBy=multi-user.target\n'
    } | unit barque-lab-routes
}

router() {
    [ $# -ge 1 ] || fail "router needs its addresses"
    echo 'net.ipv4.ip_forward = 1' >/etc/sysctl.d/90-barque-lab-router.conf
    sysctl -q -w net.ipv4.ip_forward=1
    # Calico here never wraps packets, so whoever stands between two racks must know where pods are.
    if ! command -v bird >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends bird2 >/dev/null ||
            { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends bird2; } >/dev/null
    fi
    install -d /etc/bird
    {
        printf 'log syslog all;\nrouter id %s;\nprotocol device { }\nprotocol direct { ipv4; }\n' "$1"
        printf 'protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }\n'
        for address; do
            network=${address%.*}
            printf 'protocol bgp from_%s {\n' "$(echo "$network" | tr . _)"
            printf '    local %s as 64512;\n    neighbor range %s.0/24 as 64512;\n    passive on;\n' "$address" "$network"
            printf '    dynamic name "rack_%s_";\n' "$(echo "$network" | tr . _)"
            printf '    ipv4 { import where net ~ 10.244.0.0/16; export none; };\n}\n'
        done
    } >/etc/bird/bird.conf
    bird -p -c /etc/bird/bird.conf || fail "BIRD does not take its configuration"
    systemctl enable --quiet bird
    systemctl restart bird
}

what=${1:-}
[ $# -eq 0 ] || shift
case $what in
node) node "$@" ;;
router) router "$@" ;;
*) fail "say node or router" ;;
esac
