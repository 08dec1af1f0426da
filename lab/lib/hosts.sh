# shellcheck shell=bash
# What hosts there are, and which process is a host's first.

# Folder of a host: number, kind, upper and work (the overlay's layers), root
# (its mount point, seen in the host's namespace only), data.img, pid, log.
folder_of() { printf '%s/%s\n' "$LAB_STATE" "$1"; }

# Every host that has a folder, however unfinished.
all_hosts() {
	local file
	for file in "$LAB_STATE"/*/number; do
		[ -e "$file" ] || continue
		basename "$(dirname "$file")"
	done
}

# The pid of a host's first process as the machine sees it; fails if the host
# isn't running. A number in a file proves nothing: the process must also be
# in the host's cgroup.
first_process_of() {
	local pid
	pid="$(cat "$LAB_STATE/$1/pid" 2>/dev/null)" || return 1
	grep -qx "0::/$LAB_NAME/$1/init" "/proc/$pid/cgroup" 2>/dev/null || return 1
	printf '%s\n' "$pid"
}

# The same, with words for a person when there is no such host.
need_host() {
	check_name "$1"
	first_process_of "$1" ||
		die "host $1 is not running" "start it with: lab/up $1"
}

# alpha is 1, beta 2; others get the lowest free number from 3 and keep it.
number_for() {
	local file number=3
	case "$1" in alpha) echo 1; return ;; beta) echo 2; return ;; esac
	file="$(folder_of "$1")/number"
	if [ -s "$file" ]; then cat "$file"; return; fi
	while grep -qsx "$number" "$LAB_STATE"/*/number; do number=$((number + 1)); done
	[ "$number" -lt 250 ] || die "the lab is full" "remove hosts with lab/down"
	echo "$number"
}

host_address() { printf '10.77.0.%d\n' "$(number_for "$1")"; }

# Every host resolves every host; written anew whenever one comes.
write_names() {
	local name pid text
	text="$(
		printf '127.0.0.1 localhost\n::1 localhost\n'
		for name in $({ echo alpha; echo beta; all_hosts; } | sort -u); do
			printf '%s %s\n' "$(host_address "$name")" "$name"
		done
	)"
	for name in $(all_hosts); do
		pid="$(first_process_of "$name")" || continue
		printf '%s\n' "$text" >"/proc/$pid/root/etc/hosts"
	done
}
