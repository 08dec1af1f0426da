# shellcheck shell=bash
# A host's cgroups: <cgroup2>/martlet-lab/NAME is the root that the host sees,
# its "init" child holds the host's own processes, so that container engines
# may make cgroups beside it (cgroup 2 allows no processes in inner nodes that
# hand out controllers).

cgroup2_mount() { awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts; }

cgroup_of_lab() { printf '%s/%s\n' "$(cgroup2_mount)" "$LAB_NAME"; }
cgroup_of_host() { printf '%s/%s\n' "$(cgroup_of_lab)" "$1"; }

make_cgroups() {
	local host
	[ -n "$(cgroup2_mount)" ] ||
		die "no cgroup2 file system is mounted" "mount -t cgroup2 none /sys/fs/cgroup/unified"
	host="$(cgroup_of_host "$1")"
	mkdir -p "$host/init"
}

# Puts process PID where process LIKE is, in every hierarchy where they differ.
# The machine may keep a cgroup 1 hierarchy a session; what joins a host late
# has to look, from inside the host's cgroup namespace, as if it came from
# within: CRIU would otherwise note a path like /../other.
join_cgroups_of() {
	local like="$1" pid="$2" line controllers path mount
	while IFS= read -r line; do
		controllers="${line#*:}" path="${line#*:*:}"
		controllers="${controllers%%:*}"
		if [ -z "$controllers" ]; then
			mount="$(cgroup2_mount)"
		else
			mount="$(awk -v want="${controllers#name=}" '$3 == "cgroup" && index("," $4 ",", "," want ",") || $3 == "cgroup" && index($4, "name=" want) { print $2; exit }' /proc/mounts)"
		fi
		[ -n "$mount" ] || continue
		echo "$pid" >"$mount$path/cgroup.procs"
	done < <(grep -vxFf "/proc/$pid/cgroup" "/proc/$like/cgroup")
}

# Processes that kill_cgroup killed and nobody has waited for yet.
DYING=()

# Kills everything below a cgroup. By cgroup, because that finds what
# double-forked, what was restored by CRIU and what a crash left behind.
kill_cgroup() {
	local group="$1"
	[ -d "$group" ] || return 0
	mapfile -t -O "${#DYING[@]}" DYING < <(find "$group" -name cgroup.procs -exec cat {} +)
	echo 1 >"$group/cgroup.kill"
}

# Waits until the killed are reaped too: a zombie still holds its PID
# namespace. The machine's first process may take a second or two over that;
# a parent that never reaps is not ours to wait for.
await_dying() {
	local pid tries
	for ((tries = 0; tries < 200; tries++)); do
		for pid in "${DYING[@]}"; do [ ! -d "/proc/$pid" ] || break; done
		[ -d "/proc/${pid:-none}" ] || break
		sleep 0.02
	done
	DYING=()
}

remove_cgroup() {
	local group="$1" tries
	kill_cgroup "$group"
	await_dying
	# rmdir is refused for a moment after the last process went.
	for ((tries = 0; tries < 250; tries++)); do
		[ -d "$group" ] || return 0
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && return 0
		sleep 0.02
	done
	die "processes in $group could not be killed" "see $group/cgroup.procs"
}
