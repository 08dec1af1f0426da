# shellcheck shell=bash
# Making and removing hosts.

# shellcheck source=lab/lib/cgroup.sh
. "$LAB_SCRIPTS/lib/cgroup.sh"
# shellcheck source=lab/lib/net.sh
. "$LAB_SCRIPTS/lib/net.sh"
# shellcheck source=lab/lib/hosts.sh
. "$LAB_SCRIPTS/lib/hosts.sh"

# Apparent size of a host's /data; blocks are taken as they are written.
LAB_DATA_SIZE="${MARTLET_LAB_DATA_SIZE:-24G}"

# make_hosts KIND NAME...: makes what isn't there, whole or not at all.
make_hosts() {
	local kind="$1" name lower
	shift
	for name in "$@"; do check_name "$name"; done
	need_programs iproute2:ip util-linux:unshare e2fsprogs:mkfs.ext4 procps:sysctl
	lower="$("$LAB_SCRIPTS/root")"
	lock_lab
	make_switch
	for name in "$@"; do
		is_whole "$name" && continue
		# What a killed lab/up or a restart of the machine left.
		[ ! -e "$(folder_of "$name")" ] || remove_host "$name"
		make_host "$name" "$kind" "$lower"
	done
	write_names
}

is_whole() { [ -e "$(folder_of "$1")/made" ] && first_process_of "$1" >/dev/null; }

make_host() {
	local name="$1" kind="$2" lower="$3" folder pid started=$SECONDS
	folder="$(folder_of "$name")"
	mkdir -p "$folder"/{upper,work,root}
	chmod 755 "$folder/upper"
	number_for "$name" >"$folder/.number"
	mv "$folder/.number" "$folder/number"
	echo "$kind" >"$folder/kind"
	make_disk "$folder/data.img"
	make_cgroups "$name"
	setsid bash "$LAB_SCRIPTS/lib/launch.sh" "$name" "$lower" </dev/null >"$folder/log" 2>&1 9>&- &
	pid="$(await_first_process "$name" $!)"
	echo "$pid" >"$folder/pid"
	plug "$name" "$pid"
	date +%s >"$folder/made"
	say "$name is up at $(host_address "$name") ($((SECONDS - started)) s)"
}

make_disk() {
	truncate -s "$LAB_DATA_SIZE" "$1"
	mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$1" >&2
}

# Prints the pid of the host's first process once its root is in place.
await_first_process() {
	local name="$1" launcher="$2" group pid tries
	group="$(cgroup_of_host "$name")"
	for ((tries = 0; tries < 1500; tries++)); do
		[ -d "/proc/$launcher" ] || break
		# unshare itself stays in the outer cgroup, its child is the only one inside.
		pid="$(head -n 1 "$group/init/cgroup.procs")"
		if [ -n "$pid" ] && [ -e "/proc/$pid/root/run/lab/ready" ] &&
			[ "$(cat "/proc/$pid/comm")" = tini ]; then
			# Nothing may stay in the outer cgroup: only leaves hold processes.
			echo "$launcher" >"$group/init/cgroup.procs"
			printf '%s\n' "$pid"
			return 0
		fi
		sleep 0.02
	done
	cat "$(folder_of "$name")/log" >&2
	die "host $name did not start" "remove it with: lab/down $name"
}

# Removes a host whatever state it is in. Its mounts and its loop device
# belong to its namespaces and go with its last process; the two loops at the
# end are for a lab/up that was killed in between.
remove_host() {
	local name="$1" folder mount loop
	folder="$(folder_of "$name")"
	unplug "$name"
	remove_cgroup "$(cgroup_of_host "$name")"
	while read -r mount; do
		umount -l "$mount"
	done < <(awk -v at="$folder/" 'index($5, at) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	for loop in $(losetup --noheadings --output NAME --associated "$folder/data.img" 2>/dev/null); do
		losetup --detach "$loop" 2>/dev/null || true
	done
	rm -rf --one-file-system "$folder"
}
