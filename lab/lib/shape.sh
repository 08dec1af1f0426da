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

# What takes the place of the host's cable in the switch when a wire is in.
tap_of() { printf 'w-%s\n' "$1"; }

# A time in microseconds; a share in millionths.
microseconds() {
	[[ "$1" =~ ^([0-9.]+)(us|ms|s|)$ ]] || die "'$1' is no delay" "write it like 10ms, 500us or 0.1s"
	awk -v n="${BASH_REMATCH[1]}" -v unit="${BASH_REMATCH[2]}" \
		'BEGIN { printf "%d\n", n * (unit == "us" ? 1 : unit == "s" ? 1000000 : 1000) }'
}
millionths() {
	[[ "$1" =~ ^([0-9.]+)%?$ ]] || die "'$1' is no share of frames" "write it like 0.1%"
	awk -v n="${BASH_REMATCH[1]}" 'BEGIN { printf "%d\n", n * 10000 }'
}

# Compiled once, as often as its source changes.
wire_program() {
	local program
	program="$LAB_CACHE/wire-$(sha256sum "$LAB_SCRIPTS/wire.c" | cut -c 1-12)"
	if [ ! -x "$program" ]; then
		need_programs gcc:cc
		mkdir -p "$LAB_CACHE"
		cc -O2 -pthread -o "$program.new" "$LAB_SCRIPTS/wire.c" >&2
		mv "$program.new" "$program"
	fi
	printf '%s\n' "$program"
}

# set_wire NAME DELAY LOSS: an empty one stays what it was.
set_wire() {
	local name="$1" folder delay loss
	folder="$(folder_of "$name")"
	read -r delay loss < <(cat "$folder/wire" 2>/dev/null || echo 0 0)
	[ -z "$2" ] || delay="$(microseconds "$2")"
	[ -z "$3" ] || loss="$(millionths "$3")"
	remove_wire "$name"
	[ "$delay $loss" != "0 0" ] || return 0
	start_wire "$name" "$delay" "$loss"
	echo "$delay $loss" >"$folder/wire"
}

start_wire() {
	local name="$1" folder port tap program pid tries
	folder="$(folder_of "$name")" port="$(port_of "$1")" tap="$(tap_of "$1")"
	program="$(wire_program)"
	pid="$(need_host "$name")"
	[ "$3" = 0 ] || segments "$pid" off
	ip -n "$LAB_NAME" link set "$port" nomaster
	# In the host's cgroup, so that it ends with the host. The shell enters
	# it first and then becomes the wire.
	# shellcheck disable=SC2016
	setsid sh -c 'echo $$ >"$1" && shift && exec "$@"' sh "$(cgroup_of_host "$name")/init/cgroup.procs" \
		nsenter --net="/run/netns/$LAB_NAME" -- "$program" "$port" "$tap" "$2" "$3" \
		</dev/null >"$folder/wire.log" 2>&1 9>&- &
	echo $! >"$folder/wire.pid"
	for ((tries = 0; tries < 100; tries++)); do
		grep -qsx up "$folder/wire.log" && break
		sleep 0.02
	done
	ip -n "$LAB_NAME" link set "$tap" master br0 up || {
		cat "$folder/wire.log" >&2
		remove_wire "$name"
		die "the wire for $name did not start" "the link is as it was, without delay and loss"
	}
}

# A frame lost should be one frame, not the 64 KiB that the kernel would
# otherwise hand over in one piece.
segments() { in_net_of "$1" ip link set eth0 gso_max_segs "$([ "$2" = off ] && echo 1 || echo 65535)"; }

# The wire as its file names it, if that process still is one.
wire_of() {
	local pid
	pid="$(cat "$(folder_of "$1")/wire.pid" 2>/dev/null)" || return 1
	grep -qx "0::/$LAB_NAME/$1/init" "/proc/$pid/cgroup" 2>/dev/null || return 1
	[[ "$(cat "/proc/$pid/comm")" = wire* ]] || return 1
	printf '%s\n' "$pid"
}

remove_wire() {
	local name="$1" pid folder tries
	folder="$(folder_of "$name")"
	[ -e "$folder/wire.pid" ] || return 0
	if pid="$(wire_of "$name")"; then
		kill "$pid"
		# Its TAP device goes with it.
		for ((tries = 0; tries < 100; tries++)); do
			ip -n "$LAB_NAME" link show "$(tap_of "$name")" >/dev/null 2>&1 || break
			sleep 0.02
		done
	fi
	segments "$(need_host "$name")" on
	ip -n "$LAB_NAME" link set "$(port_of "$name")" master br0
	rm -f "$folder/wire" "$folder/wire.pid" "$folder/wire.log"
}

show_link() {
	ip -n "$LAB_NAME" -br link show "$(port_of "$1")"
	in_net_of "$2" tc qdisc show dev eth0
	tc -n "$LAB_NAME" qdisc show dev "$(port_of "$1")"
	[ ! -e "$(folder_of "$1")/wire" ] ||
		awk '{ printf "wire: delay %g ms, loss %g%%\n", $1 / 1000, $2 / 10000 }' "$(folder_of "$1")/wire"
}
