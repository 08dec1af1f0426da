#!/bin/bash
# Makes an OCI bundle in /data/ID from programs installed in this host. Runs
# inside a host; lab/bundle says what the arguments are.
set -euo pipefail

die() { printf 'lab: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'lab: hint: %s\n' "$2" >&2; exit 1; }

id="$1"
shift
program=() files=(/bin/busybox) folders=() environment=() user=0:0 cwd=/ network=host seccomp=null limit=null binds='[]'
while [ $# -gt 0 ]; do
	case "$1" in
	--program) read -r -a program <<<"$2"; shift 2 ;;
	--file) files+=("$2"); shift 2 ;;
	--dir) folders+=("$2"); shift 2 ;;
	--env) environment+=("$2"); shift 2 ;;
	--user) user="$2"; shift 2 ;;
	--cwd) cwd="$2"; shift 2 ;;
	--bind) binds="$(jq --arg from "${2%%:*}" --arg to "${2#*:}" '. + [{type: "bind", source: $from, destination: $to, options: ["rbind", "rw"]}]' <<<"$binds")"; shift 2 ;;
	--network) network="$2"; shift 2 ;;
	--memory-limit) limit="$2"; shift 2 ;;
	--seccomp-profile) seccomp="$2"; shift 2 ;;
	--) shift; program=("$@"); break ;;
	*) die "lab/bundle knows no option $1" "see the head of lab/bundle" ;;
	esac
done

bundle="/data/$id" draft="/data/.draft-$id"
rootfs="$draft/rootfs"

check_arguments() {
	[ ${#program[@]} -gt 0 ] || die "no program for the bundle" "add --program \"WORDS\" or -- WORDS..."
	case "$network" in host | none | own) ;; *) die "--network is host, none or own, not $network" ;; esac
	[[ "$user" =~ ^[0-9]+:[0-9]+$ ]] || die "--user is UID:GID in numbers, not $user"
	[[ "$cwd" = /* ]] || die "--cwd is an absolute folder, not $cwd"
	[ ! -e "$bundle" ] || die "there is a bundle $bundle already" "remove it with: lab/rm $(hostname) $id"
}

# The shared libraries of programs and libraries, and the loader, by path.
libraries_of() {
	ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $1 !~ /:$/ { print $1 }' || true
}

# Everything by the name it is asked for under, whatever links lead to it.
copy_in() {
	local path folder inside=()
	path="$(command -v "${program[0]}")" || die "the host has no program ${program[0]}"
	files+=("$path")
	program[0]="$path"
	for folder in "${folders[@]}"; do
		mapfile -t -O "${#inside[@]}" inside < <(find -L "$folder" -type f \( -name '*.so' -o -name '*.so.*' -o -perm /111 \))
	done
	{
		printf '%s\n' "${files[@]}" "${folders[@]}"
		libraries_of "${files[@]}" "${inside[@]}"
	} | sort -u | sed 's|^/||' |
		tar -C / -ch --files-from - | tar -C "$rootfs" -x --keep-directory-symlink
}

make_rootfs() {
	local name
	mkdir -p "$rootfs"/{dev,etc,home,proc,root,run,srv,sys,tmp,usr/bin,usr/sbin,usr/lib,usr/lib64,var/lib,var/log}
	for name in bin sbin lib lib64; do ln -s "usr/$name" "$rootfs/$name"; done
	chmod 1777 "$rootfs/tmp"
	cp /etc/passwd /etc/group /etc/hosts "$rootfs/etc/"
	echo "passwd: files" >"$rootfs/etc/nsswitch.conf"
	copy_in
	ln -sf busybox "$rootfs/bin/sh"
}

# What Docker gives a container: enough to start as root and drop to a user.
capabilities='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FSETID","CAP_FOWNER","CAP_MKNOD","CAP_NET_RAW","CAP_SETGID","CAP_SETUID","CAP_SETFCAP","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_SYS_CHROOT","CAP_KILL","CAP_AUDIT_WRITE"]'

write_config() {
	local args env
	args="$(printf '%s\0' "${program[@]}" | jq -Rs 'split("\u0000")[:-1]')"
	env="$(printf '%s\0' "PATH=/usr/sbin:/usr/bin:/sbin:/bin" "HOME=/root" "${environment[@]}" | jq -Rs 'split("\u0000")[:-1]')"
	(cd "$draft" && runc spec)
	jq --arg id "$id" --arg cwd "$cwd" --arg user "$user" --arg network "$network" \
		--argjson args "$args" --argjson env "$env" --argjson seccomp "$seccomp" --argjson caps "$capabilities" \
		--argjson limit "$limit" --argjson binds "$binds" '
		.process.terminal = false | .process.args = $args | .process.env = $env | .process.cwd = $cwd
		| .process.user = {uid: ($user | split(":")[0] | tonumber), gid: ($user | split(":")[1] | tonumber)}
		| .process.rlimits = []
		| .process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps}
		| .root = {path: "rootfs", readonly: false}
		| .hostname = $id
		| .mounts += $binds
		| .linux.cgroupsPath = "/" + $id
		| if $seccomp then .linux.seccomp = $seccomp else . end
		| if $limit then .linux.resources.memory.limit = $limit else . end
		| .linux.namespaces |= map(if .type != "network" then .
			elif $network == "host" then empty
			elif $network == "own" then .path = "/run/netns/" + $id
			else . end)
	' "$draft/config.json" >"$draft/config.new"
	mv "$draft/config.new" "$draft/config.json"
}

check_arguments
rm -rf --one-file-system "$draft"
trap 'rm -rf --one-file-system "$draft"' EXIT
make_rootfs
write_config
mv "$draft" "$bundle"
