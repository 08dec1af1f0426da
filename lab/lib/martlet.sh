# shellcheck shell=bash
# Puts martlet into hosts: program, preloaded libraries, certificates, agent.

# shellcheck source=lab/lib/hosts.sh
. "$LAB_SCRIPTS/lib/hosts.sh"

MARTLET_BIN="${MARTLET_BIN:-$LAB_REPO/.build/release/martlet}"
MARTLET_LIBRARIES="${MARTLET_LIBRARIES:-$LAB_REPO/build/lib}"
AGENT_PORT=7077
AUTHORITY="$LAB_STATE/authority"

in_host() { "$LAB_SCRIPTS/in" "$@"; }

# install_martlet NAME...: completes each host; without the program says so.
install_martlet() {
	local name
	for name in "$@"; do
		trust_each_other "$name"
		start_sshd "$name"
	done
	if [ ! -x "$MARTLET_BIN" ]; then
		say "no martlet at $MARTLET_BIN: the hosts run without it (build it, then lab/up again)"
		return 0
	fi
	for name in "$@"; do
		install_program "$name"
		install_certificates "$name"
		start_agent "$name"
	done
}

# put SOURCE GOAL: copies a file if it differs; fails if it was the same. By a
# rename, because a running program can't be overwritten.
put() {
	cmp -s "$1" "$2" && return 1
	mkdir -p "$(dirname "$2")"
	cp -p "$1" "$2.new"
	mv -f "$2.new" "$2"
}

# Copies the program and what it needs; if anything changed, ends the agent,
# which start_agent then starts anew.
install_program() {
	local name="$1" root library changed=
	root="/proc/$(need_host "$name")/root"
	if put "$MARTLET_BIN" "$root/usr/local/bin/martlet"; then changed=yes; fi
	ln -sfn martlet "$root/usr/local/bin/martlet-runtime"
	for library in "$MARTLET_LIBRARIES"/*; do
		[ -e "$library" ] || continue
		if put "$library" "$root/usr/local/lib/martlet/$(basename "$library")"; then changed=yes; fi
	done
	if [ -n "$changed" ]; then
		install_swift_libraries "$name" "$root"
		stop_agent "$name"
	fi
}

# A program that isn't linked statically needs Swift's own libraries, which
# lie beside the compiler on this machine and nowhere in the hosts.
install_swift_libraries() {
	local library changed=
	while read -r library; do
		if put "$library" "$2/usr/local/lib/swift/$(basename "$library")"; then changed=yes; fi
	done < <({ ldd "$MARTLET_BIN" 2>/dev/null || true; } | awk '$3 ~ /\/swift\// { print $3 }')
	[ -n "$changed" ] || return 0
	echo /usr/local/lib/swift >"$2/etc/ld.so.conf.d/swift.conf"
	in_host "$1" ldconfig
}

# One authority a lab; a certificate a host, for its name and its address.
install_certificates() {
	local name="$1" pid
	pid="$(need_host "$name")"
	lock_lab
	if [ ! -e "$AUTHORITY/authority.key" ]; then
		"$MARTLET_BIN" certs init --directory "$AUTHORITY" >/dev/null ||
			die "martlet could not make a certificate authority" "try: $MARTLET_BIN certs init --directory $AUTHORITY"
	fi
	cmp -s "$AUTHORITY/authority.pem" "/proc/$pid/root/etc/martlet/authority.pem" && return 0
	"$MARTLET_BIN" certs issue "$name" --directory "$AUTHORITY" --address "$(host_address "$name")" \
		--out "/proc/$pid/root/etc/martlet" >/dev/null ||
		die "martlet could not issue a certificate for $name" "try: $MARTLET_BIN certs issue $name --directory $AUTHORITY --address $(host_address "$name") --out /tmp/certificates"
	stop_agent "$name"
}

# The agent as the pid file names it, if that process still is one. /run's pid
# file holds the number that the host itself sees.
agent_runs() {
	# shellcheck disable=SC2016
	in_host "$1" sh -c 'p=$(cat /run/martlet-agent.pid 2>/dev/null) && [ -n "$p" ] &&
		tr "\0" " " <"/proc/$p/cmdline" 2>/dev/null | grep -q "martlet agent"' 2>/dev/null
}

stop_agent() {
	agent_runs "$1" || return 0
	# shellcheck disable=SC2016
	in_host "$1" sh -c 'p=$(cat /run/martlet-agent.pid); kill "$p"
		for try in $(seq 150); do [ -d "/proc/$p" ] || exit 0; sleep 0.02; done; kill -9 "$p"' 2>/dev/null || true
	in_host "$1" rm -f /run/martlet-agent.pid
}

start_agent() {
	agent_runs "$1" && return 0
	# The shell ends at once, so that the host's first process adopts the agent.
	# shellcheck disable=SC2016
	in_host "$1" sh -c 'cd /; setsid martlet agent </dev/null >>/var/log/martlet-agent.log 2>&1 9>&- &
		echo $! >/run/martlet-agent.pid'
	await_port "$1" "$AGENT_PORT" 10 && return 0
	in_host "$1" tail -n 5 /var/log/martlet-agent.log >&2 || true
	die "the agent on $1 does not listen on port $AGENT_PORT" "see: lab/in $1 cat /var/log/martlet-agent.log"
}

# await_port HOST PORT SECONDS: until something listens there.
await_port() {
	# shellcheck disable=SC2016
	in_host "$1" sh -c 'for try in $(seq $(($2 * 20))); do
		[ -n "$(ss -Hltn "sport = :$1")" ] && exit 0; sleep 0.05; done; exit 1' sh "$2" "$3"
}

# ssh:// destinations: every host's root may log in to every host. All hosts
# share the host key of the cached root, so one line knows them all.
trust_each_other() {
	local name="$1" root key="$AUTHORITY/ssh"
	root="/proc/$(need_host "$name")/root"
	if [ ! -e "$key.pub" ]; then
		lock_lab
		mkdir -p "$AUTHORITY"
		[ -e "$key.pub" ] || in_host "$name" sh -c 'ssh-keygen -q -t ed25519 -N "" -C lab -f /tmp/k && tar -C /tmp -c k k.pub && rm /tmp/k*' |
			tar -C "$AUTHORITY" -x --transform 's/^k/ssh/'
	fi
	cmp -s "$key.pub" "$root/root/.ssh/authorized_keys" && return 0
	install -d -m 700 "$root/root/.ssh"
	install -m 600 "$key" "$root/root/.ssh/id_ed25519"
	install -m 600 "$key.pub" "$root/root/.ssh/authorized_keys"
	sed 's/^/* /' "$root/etc/ssh/ssh_host_ed25519_key.pub" >"$root/root/.ssh/known_hosts"
}

start_sshd() {
	# shellcheck disable=SC2016
	in_host "$1" sh -c '[ -n "$(ss -Hltn "sport = :22")" ] || { mkdir -p /run/sshd && /usr/sbin/sshd; }'
}
