# shellcheck shell=bash
# The shaping of a link: the rate by tc's tbf on both ends of the cable, delay
# and loss by the wire (wire.c), because these kernels have no netem.

set_rate() {
	local name="$1" pid="$2" rate="$3"
	# tc has "gbit" and "gibit", people write 10g.
	[[ "$rate" =~ ^[0-9.]+[kmgKMG]$ ]] && rate="${rate}bit"
	{ in_net_of "$pid" tc qdisc replace dev eth0 root tbf rate "$rate" burst 512kb latency 20ms &&
		tc -n "$LAB_NAME" qdisc replace dev "$(port_of "$name")" root tbf rate "$rate" burst 512kb latency 20ms; } ||
		die "could not set the rate $rate" "write it like 10gbit, 1g or 200mbit"
}

clear_rate() {
	in_net_of "$2" tc qdisc del dev eth0 root 2>/dev/null || true
	tc -n "$LAB_NAME" qdisc del dev "$(port_of "$1")" root 2>/dev/null || true
}

connect() { ip -n "$LAB_NAME" link set "$(port_of "$1")" up; }

set_wire() { die "delay and loss are not built yet"; }
remove_wire() { :; }

show_link() {
	ip -n "$LAB_NAME" -br link show "$(port_of "$1")"
	in_net_of "$2" tc qdisc show dev eth0
	tc -n "$LAB_NAME" qdisc show dev "$(port_of "$1")"
}
