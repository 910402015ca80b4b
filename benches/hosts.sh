#!/usr/bin/env bash
# Runs a program with MPI on hosts that are network namespaces of this machine, with links of a given rate between them:
#
#   benches/hosts.sh COUNT RATE DELAY COMMAND...
#   benches/hosts.sh 4 1gbit 0.1ms target/release/xtask bench-worker train --network small --threads 1 --steps 1
#
# Each host has its own name, address and link, and one rank. RATE is what tc takes, such as 1gbit. DELAY is added to each packet
# where the kernel has netem, and is left out with a word where it has not. It needs root, Open MPI and iproute2, and leaves nothing behind.
set -euo pipefail
count="$1" rate="$2" delay="$3"
shift 3
folder="$(mktemp --directory)"
clean() {
    for i in $(seq "$count"); do ip netns del "duet$i" 2>/dev/null || true; done
    ip link del duet-bridge 2>/dev/null || true
    rm -rf "$folder"
}
trap clean EXIT
clean
mkdir "$folder"
# All bytes that wait for their turn at this rate, for 100 ms at most.
limited() {
    local in=("$@")
    "${in[@]}" tc qdisc add dev "$device" root handle 1: tbf rate "$rate" burst 256kb latency 100ms
    if ! "${in[@]}" tc qdisc add dev "$device" parent 1: netem delay "$delay" limit 100000 2>/dev/null; then
        if [ ! -e "$folder/told" ]; then echo "this kernel has no netem: the links have their own latency alone" >&2; fi
        touch "$folder/told"
    fi
}
ip link add duet-bridge type bridge
ip link set duet-bridge up
hosts=""
for i in $(seq "$count"); do
    ip netns add "duet$i"
    ip link add "duet-out$i" type veth peer name eth0 netns "duet$i"
    ip link set "duet-out$i" master duet-bridge up
    ip -n "duet$i" addr add "10.77.0.$i/24" dev eth0
    ip -n "duet$i" link set eth0 up
    ip -n "duet$i" link set lo up
    device="duet-out$i" limited
    device=eth0 limited ip netns exec "duet$i"
    hosts="$hosts${hosts:+,}10.77.0.$i"
done
# What mpirun takes for ssh: the last number of the address is the host's.
cat >"$folder/agent" <<'END'
#!/bin/sh
host="${1##*.}"
shift
exec ip netns exec "duet$host" unshare --uts sh -c "hostname duet$host; exec $*"
END
chmod +x "$folder/agent"
ping="$(ip netns exec duet1 ping -c 20 -i 0.01 -q 10.77.0.2 2>/dev/null | tail -n 1 || true)"
if [ -n "$ping" ]; then echo "from host to host and back: $ping" >&2; fi
network="10.77.0.0/24"
ip netns exec duet1 unshare --uts sh -c "hostname duet1; exec \"\$@\"" sh \
    mpirun --allow-run-as-root --bind-to none -n "$count" --host "$hosts" --mca plm_rsh_agent "$folder/agent" \
    --mca btl tcp,self --mca btl_tcp_if_include "$network" --mca oob_tcp_if_include "$network" "$@"
