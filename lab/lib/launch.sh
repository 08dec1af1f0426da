#!/bin/bash
# Becomes a host: enters the host's cgroup and leaves the machine's namespaces.
#
# usage: launch.sh NAME ROOT
set -euo pipefail
# shellcheck source=lab/lib/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=lab/lib/cgroup.sh
. "$(dirname "$0")/cgroup.sh"

name="$1"
group="$(cgroup_of_host "$name")"
# First the cgroup, then the namespace: where we are when we unshare is what
# the host sees as the root of its cgroups. "init" is entered afterwards.
echo $$ >"$group/cgroup.procs"
exec unshare --mount --net --pid --uts --ipc --cgroup --fork --propagation private \
	bash "$LAB_SCRIPTS/lib/init.sh" "$name" "$2" "$group/init"
