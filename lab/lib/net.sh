# shellcheck shell=bash
# The lab's network: a network namespace that holds nothing but a bridge (the
# switch), and a cable (veth) from it to every host. A host plugs its end,
# eth0, into a bridge of its own, br0, which carries the host's address:
# containers with an address of their own are plugged into br0 too and so are
# on the same network as everything else, whichever host they are on.

# Fixed hardware addresses: "ML" in ASCII, then the last two bytes of the
# IPv4 address. A bridge with a changing address makes connections hang.
mac_of() {
	local a b c d
	IFS=. read -r a b c d <<<"$1"
	: "$a" "$b"
	printf '02:4d:4c:00:%02x:%02x\n' "$c" "$d"
}

# The cable's end at the switch.
port_of() { printf 'p-%s\n' "$1"; }

# Two hosts that have never met differ in nothing but the name of their cable.
make_switch() {
	ip -n "$LAB_NAME" link show br0 >/dev/null 2>&1 && return 0
	# ip itself mounts /run/netns when it first needs it; the last lab/down
	# takes away what we were the first to need.
	mountpoint -q /run/netns || touch "$LAB_STATE/.mounted-netns"
	ip netns add "$LAB_NAME" 2>/dev/null || ip netns list | grep -qw "^$LAB_NAME" ||
		die "could not make the network namespace $LAB_NAME"
	ip -n "$LAB_NAME" link set lo up
	ip -n "$LAB_NAME" link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0
	ip -n "$LAB_NAME" link set br0 up
}

remove_switch() {
	ip netns del "$LAB_NAME" 2>/dev/null || true
	[ -e "$LAB_STATE/.mounted-netns" ] || return 0
	# Refused while others have namespaces there, and that's right.
	[ -n "$(ls -A /run/netns 2>/dev/null)" ] || umount /run/netns 2>/dev/null || true
	rm -f "$LAB_STATE/.mounted-netns"
}

# Congestion control by route: BBR, this machine's default, stalls now and then
# without its fair queue (design/network.md), and the kernel lets no namespace
# but the first choose another default.
#
# plug NAME PID: cables the host whose first process is PID. Both ends
# are born where they belong; the machine's own namespace never sees them.
plug() {
	local name="$1" pid="$2" address port mac
	address="$(host_address "$name")"
	port="$(port_of "$name")"
	mac="$(mac_of "$address")"
	ip -n "$LAB_NAME" link del "$port" 2>/dev/null || true
	ip link add "$port" netns "$LAB_NAME" type veth peer name eth0 address "$mac" netns "$pid"
	ip -n "$LAB_NAME" link set "$port" master br0 up
	in_net_of "$pid" ip -batch - <<-END
		link set lo up
		link add br0 address $mac type bridge forward_delay 0 stp_state 0 mcast_snooping 0
		link set eth0 master br0 up
		link set br0 up
		address add $address/16 broadcast 10.77.255.255 dev br0
		route replace 10.77.0.0/16 dev br0 proto kernel scope link src $address congctl cubic
	END
	# The bridge speaks; a port with an address of its own would be a twin.
	in_net_of "$pid" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 2>/dev/null || true
}

in_net_of() {
	local pid="$1"
	shift
	nsenter --net="/proc/$pid/ns/net" -- "$@"
}

unplug() { ip -n "$LAB_NAME" link del "$(port_of "$1")" 2>/dev/null || true; }
