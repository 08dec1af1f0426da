#!/bin/bash
# Builds one Debian root file system in an empty folder. Run by lab/root in
# mount and PID namespaces of its own: whatever kills it, no mount and no
# process stays behind.
#
# usage: recipe.sh FOLDER PACKAGE-LIST GROUP...
set -euo pipefail
# shellcheck source=lab/lib/common.sh
. "$(dirname "$0")/common.sh"

root="$1" list="$2"
shift 2
groups=("$@")

# The packages of one group of lab/packages.
packages_of() { awk -v want="[$1]" '/^\[/ { on = $0 == want; next } on && !/^#/ && NF { print $1 }' "$list"; }

# The Debian mirror that the machine's own apt uses, in either of apt's formats.
mirror() {
	local uri
	uri="$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
		sed -n -E 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' |
		awk '/\/debian\/?$/ && !found { found = 1; print }')"
	[ -n "$uri" ] || die "found no Debian mirror in /etc/apt" "add one to /etc/apt/sources.list"
	printf '%s\n' "$uri"
}

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

install_packages() { in_root apt-get install -qy --no-install-recommends "$@"; }

# The machine's way to its mirror (proxies, certificates, name servers) holds
# in the root too; hooks that run programs of the machine do not.
copy_apt_settings() {
	local file
	for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
		[ -f "$file" ] || continue
		if grep -qiE 'invoke|pre-install-pkgs|Dir::Cache' "$file"; then continue; fi
		grep -qE '^(Acquire|APT::|#clear)|^[[:space:]]*//' "$file" || continue
		cp "$file" "$root/etc/apt/apt.conf.d/"
	done
	[ ! -f /etc/apt/auth.conf ] || cp /etc/apt/auth.conf "$root/etc/apt/"
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	cat >"$root/etc/apt/apt.conf.d/99lab" <<-'END'
		Acquire::Check-Valid-Until "false";
		Acquire::Languages "none";
		Acquire::PDiffs "false";
		Acquire::Retries "3";
		APT::Install-Recommends "false";
	END
	cat >"$root/etc/apt/sources.list" <<-END
		deb $1 trixie main
		deb $1 sid main
	END
	# sid is there, but nothing comes from it unless it is asked for.
	printf 'Package: *\nPin: release n=sid\nPin-Priority: 50\n' >"$root/etc/apt/preferences.d/lab"
}

# Lab hosts are thrown away: no flushing to disk, no manuals; and a package
# may not start its service in a root that isn't running.
prepare_dpkg() {
	cat >"$root/etc/dpkg/dpkg.cfg.d/lab" <<-'END'
		force-unsafe-io
		path-exclude=/usr/share/doc/*
		path-exclude=/usr/share/man/*
		path-exclude=/usr/share/info/*
		path-exclude=/usr/share/locale/*
	END
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mkdir -p "$root/etc/postgresql-common"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
}

# CRIU asks for the limits of other users' tasks, which root without
# CAP_SYS_RESOURCE may not: prlimit-shim.c answers instead.
install_shim() {
	local folder="$root/usr/local/lib/lab"
	mkdir -p "$folder"
	cc -shared -fPIC -O2 -Wall -o "$folder/prlimit-shim.so" "$LAB_SCRIPTS/prlimit-shim.c" -ldl
	in_root dpkg-divert --quiet --local --rename --divert /usr/sbin/criu.real --add /usr/sbin/criu
	cat >"$root/usr/sbin/criu" <<-'END'
		#!/bin/sh
		LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}/usr/local/lib/lab/prlimit-shim.so" exec /usr/sbin/criu.real "$@"
	END
	chmod 755 "$root/usr/sbin/criu"
}

finish() {
	in_root apt-get clean
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt/*
	# Hosts reach nothing outside the lab: no name server is better than a
	# silent one.
	: >"$root/etc/resolv.conf"
	: >"$root/etc/machine-id"
	mkdir -p "$root/data"
}

main() {
	local uri packages=() group
	uri="$(mirror)"
	debootstrap --variant=minbase --merged-usr trixie "$root" "$uri" 2>&1 ||
		{ tail -n 20 "$root/debootstrap/debootstrap.log" 2>/dev/null; die "debootstrap failed"; }
	copy_apt_settings "$uri"
	prepare_dpkg
	mount -t proc proc "$root/proc"
	for group in "${groups[@]}"; do
		mapfile -t -O "${#packages[@]}" packages < <(packages_of "$group")
	done
	[ "${#packages[@]}" -gt 0 ] || die "no packages in the groups ${groups[*]}" "see the groups in lab/packages"
	in_root apt-get update -q
	install_packages "${packages[@]}"
	mapfile -t packages < <(packages_of sid)
	install_packages -t sid "${packages[@]}"
	has_sys_resource || install_shim
	finish
	umount "$root/proc"
}

main
