#!/bin/bash
# The first process of a host, before it is a host: mounts the root, the host's
# own /proc, /sys, /dev and /data, changes into it and becomes tini. All these
# mounts are in the host's namespace only, so they end with its last process.
#
# usage: init.sh NAME LOWER CGROUP
set -euo pipefail
# shellcheck source=lab/lib/common.sh
. "$(dirname "$0")/common.sh"

name="$1" lower="$2"
folder="$LAB_STATE/$name"
root="$folder/root"

# Where our own first processes live; containers' cgroups come beside it.
enter_init_cgroup() { echo 0 >"$1/cgroup.procs"; }

mount_root() {
	mount -t overlay "$name" -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$root"
	mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
	mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs "$root/run"
	mkdir -p "$root/run/lock" "$root/run/lab"
}

# A file system of its own on a loop device: hosts that share one resolve each
# other's file handles. The device detaches itself with the last unmount.
mount_data() {
	mkdir -p "$root/data"
	mount -t ext4 -o loop,noatime,discard "$folder/data.img" "$root/data"
}

# device NAME: the machine's own node, if it has one.
device() {
	local node="/dev/$1"
	[ -c "$node" ] || return 0
	mkdir -p "$root/dev/$(dirname "$1")"
	mknod -m "$(stat -c %a "$node")" "$root$node" c "0x$(stat -c %t "$node")" "0x$(stat -c %T "$node")"
}

mount_dev() {
	local name
	mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
	for name in null zero full random urandom tty; do device "$name"; chmod 666 "$root/dev/$name"; done
	for name in net/tun userfaultfd fuse cpu_dma_latency; do device "$name"; done
	mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
	mount -t devpts -o newinstance,nosuid,noexec,mode=620,gid=5,ptmxmode=666 devpts "$root/dev/pts"
	mount -t tmpfs -o nosuid,nodev tmpfs "$root/dev/shm"
	mount -t mqueue mqueue "$root/dev/mqueue"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	ln -s /proc/self/fd/0 "$root/dev/stdin"
	ln -s /proc/self/fd/1 "$root/dev/stdout"
	ln -s /proc/self/fd/2 "$root/dev/stderr"
}

# Who the host is: what has to differ between two machines.
write_identity() {
	hostname "$name"
	echo "$name" >"$root/etc/hostname"
	printf '%s' "$name" | md5sum | cut -c 1-32 >"$root/etc/machine-id"
}

# From here on nothing of the machine is in sight.
become_host() {
	cd "$root"
	mkdir -p .machine
	pivot_root . .machine
	umount -l /.machine
	rmdir /.machine
	# As on a machine that systemd started.
	mount --make-rshared /
	touch /run/lab/ready
	exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		tini -- sleep infinity </dev/null >/dev/null 2>&1
}

enter_init_cgroup "$3"
mount_root
mount_data
mount_dev
write_identity
become_host
