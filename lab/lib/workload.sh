# shellcheck shell=bash
# What the ready workloads have in common: options, starting, waiting.

# shellcheck source=lab/lib/hosts.sh
. "$LAB_SCRIPTS/lib/hosts.sh"

# parse_workload "OWN OPTIONS" DEFAULT-ID DEFAULT-PORT ARGUMENT...
# Sets host, id, engine, ip, port, and for each own option ("memory scale") the
# variable of that name.
parse_workload() {
	local own=" $1 " usage hint="see the head of $0"
	usage="usage: $(basename "$0") NAME [--engine runc|crun] [--ip ADDRESS] [--port PORT] [OPTION...] [ID]"
	id="$2" port="$3" engine=runc ip='' host="${4:-}"
	if [ -z "$host" ] || [[ "$host" = -* ]]; then die "$usage" "$hint"; fi
	shift 4
	while [ $# -gt 0 ]; do
		case "$1" in
		--engine | --ip | --port) declare -g "${1#--}=${2?$1 needs a value}"; shift 2 ;;
		--*)
			[[ "$own" = *" ${1#--} "* ]] || die "$(basename "$0") knows no option $1" "$hint"
			declare -g "${1#--}=${2?$1 needs a value}"
			shift 2
			;;
		*) id="$1"; shift ;;
		esac
	done
	check_id "$id"
	case "$engine" in runc | crun) ;; *) die "the lab starts no workloads with $engine yet" "use --engine runc or crun" ;; esac
	need_host "$host" >/dev/null
	check_absent
}

in_host() { "$LAB_SCRIPTS/in" "$host" "$@"; }

# Where the workload's server is reached.
address() { printf '%s\n' "${ip:-$(host_address "$host")}"; }

check_absent() {
	! in_host sh -c "test -e '/data/$id' || test -e '/run/runc/$id' || test -e '/run/crun/$id'" ||
		die "$host has a container or bundle $id already" "remove it with: lab/rm $host $id, or give another ID"
	[ -n "$ip" ] || [ -z "$port" ] || in_host sh -c "[ -z \"\$(ss -Hltn 'sport = :$port')\" ]" ||
		die "port $port of $host is in use" "give another with --port, or an address of its own with --ip 10.77.1.x"
}

# bundle_with OPTION...: lab/bundle with the network that was asked for.
bundle_with() {
	local network=(--network host)
	[ -z "$ip" ] || network=(--ip "$ip")
	"$LAB_SCRIPTS/bundle" "$host" "$id" "${network[@]}" "$@"
}

# Input and output are /dev/null: CRIU can't dump a file that lies outside.
start_container() {
	in_host "$engine" run -d --bundle "/data/$id" "$id" </dev/null >/dev/null 2>&1 ||
		die "$engine could not start $id on $host" "see: lab/in $host $engine --debug run --bundle /data/$id $id"
}

# await WHAT COMMAND...: up to 30 s, until the command succeeds in the host.
await() {
	local what="$1"
	shift
	# shellcheck disable=SC2016
	in_host sh -c 'for try in $(seq 600); do "$@" >/dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1' sh "$@" ||
		die "$what of $id on $host did not answer within 30 s" "see: lab/in $host $engine state $id"
}

# bytes_of SIZE: 100M, 1.5G, 4096 or 2GB in bytes (powers of 1024).
bytes_of() {
	numfmt --from=iec "${1%[Bb]}" 2>/dev/null || die "'$1' is no size" "write it like 100M or 1.5G"
}
