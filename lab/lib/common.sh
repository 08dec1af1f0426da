# shellcheck shell=bash
# Paths, words to the user and small checks that every lab script needs.

LAB_SCRIPTS="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
LAB_REPO="$(dirname "$LAB_SCRIPTS")"
# MARTLET_LAB names a second lab beside the usual one: its own hosts, switch,
# cgroups and files, so that two people (or a test) don't meet.
LAB_NAME="martlet-lab${MARTLET_LAB:+-$MARTLET_LAB}"
# What can be made again (roots, compiled helpers) and what belongs to hosts
# that exist now. Both lie outside the repository.
LAB_CACHE="${MARTLET_LAB_CACHE:-/var/cache/martlet-lab}"
LAB_STATE="/var/lib/$LAB_NAME"
export LAB_NAME LAB_SCRIPTS LAB_REPO LAB_CACHE LAB_STATE
# A bare shell (cron, CI) may lack the folders that ip, nft and losetup live in.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# say WORDS...: progress, on standard error so that output stays clean.
say() { printf 'lab: %s\n' "$*" >&2; }

# die WHAT [HINT]: ends the script with one line of what and one of what to do.
die() {
	printf 'lab: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'lab: hint: %s\n' "$2" >&2
	exit 1
}

need_root() { [ "$(id -u)" = 0 ] || die "the lab makes namespaces and mounts, so it needs root" "run it with sudo"; }

# need_programs PACKAGE:PROGRAM...: installs the packages of missing programs.
need_programs() {
	local pair missing=()
	for pair in "$@"; do
		command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing on this machine: ${missing[*]}"
	{ apt-get update -q && apt-get install -qy --no-install-recommends "${missing[@]}"; } >&2 ||
		die "could not install ${missing[*]}" "install them by hand and try again"
}

# Does root here hold CAP_SYS_RESOURCE (bit 24)?
has_sys_resource() {
	local mask
	mask="$(awk '/^CapEff/ { print $2 }' /proc/self/status)"
	(((0x$mask >> 24) & 1))
}

# Host names become folders, interfaces (15 characters, two of them ours) and cgroups.
check_name() {
	[[ "$1" =~ ^[a-z][a-z0-9-]{0,11}$ ]] ||
		die "'$1' is no name for a host" "use up to 12 lower-case letters, digits and dashes, a letter first"
	[ "$1" != authority ] || die "a host can't be called authority" "its folder holds the certificate authority"
}

check_id() {
	[[ "$1" =~ ^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$ ]] ||
		die "'$1' is no name for a container" "use letters, digits, dots, dashes and underscores"
}

# lock_lab: from here to the script's end no other script changes the lab. The
# lock is on descriptor 9: start what outlives the script with 9>&-.
lock_lab() {
	mkdir -p "$LAB_STATE"
	exec 9>"$LAB_STATE/.lock"
	flock 9
}
