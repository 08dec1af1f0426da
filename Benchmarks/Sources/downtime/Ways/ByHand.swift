/// What the peers have in common: everything around `runc checkpoint` and `runc restore` that a careful administrator would do by hand.
///
/// They get the best that stock tools allow: images in memory, copies streamed over plain TCP without encryption, everything that can be
/// done beforehand done beforehand (bundle, namespace, listeners), nftables for CRIU's network lock, the cable at the destination plugged
/// in when the restore is done, and announced.
enum ByHand {
    static let images = "/dev/shm/bench"
    static let bundlePort = 7100
    static let imagePort = 7101
    static let pagePort = 7102
    static let quiet = "</dev/null >/dev/null 2>&1"

    static func prepare(_ trial: Trial) throws {
        for shell in [trial.source, trial.destination] {
            try shell.run(
                """
                mkdir -p /etc/criu && printf 'skip-in-flight\\nnetwork-lock nftables\\n' >/etc/criu/runc.conf
                rm -rf \(images) && mkdir -p \(images)/images \(images)/work
                """)
        }
        // The namespace waits outside the bridge: two hosts with one address would both answer. Its cable stays up, because the kernel
        // may take a second to notice a carrier that comes.
        try trial.lab.call("network", "beta", trial.id, trial.address)
        try trial.destination.run("ip link set \(trial.cable) nomaster")
        // A restored socket asks for its peer's hardware address before the cable is plugged in, and asks again only a second later.
        let neighbours = try trial.source.run("ip -n \(trial.id) neigh show | awk '$4 == \"lladdr\" { print $1, $5 }'")
        for line in neighbours.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2 else { continue }
            try trial.destination.run("ip -n \(trial.id) neigh replace \(words[0]) lladdr \(words[1]) dev eth0 nud permanent")
        }
        // The switch has seen the same hardware address at beta; a frame from alpha teaches it again.
        try trial.source.run("ip netns exec \(trial.id) arping -q -U -c 1 -w 1 -I eth0 \(trial.address) || true")
    }

    /// While the container runs.
    static func copyBundle(_ trial: Trial) throws {
        try listen(trial, port: bundlePort, goal: "/data")
        try send(trial, port: bundlePort, folder: "/data", name: trial.id)
    }

    /// The destination takes a tar stream at `port`; `send` waits for its end.
    static func listen(_ trial: Trial, port: Int, goal: String) throws {
        try trial.destination.run(
            """
            nc -l \(port) </dev/null | tar -C \(goal) -x --same-owner & receiver_\(port)=$!
            \(awaitPort(port))
            """)
    }

    static func send(_ trial: Trial, port: Int, folder: String, name: String) throws {
        try trial.source.run(
            "set -o pipefail; tar -C \(folder) -c \(name) | nc -N \(trial.destinationAddress) \(port) >/dev/null")
        try trial.destination.run("wait $receiver_\(port)")
    }

    static func awaitPort(_ port: Int) -> String {
        "for try in $(seq 1000); do [ -n \"$(ss -Hltn 'sport = :\(port)')\" ] && break; sleep 0.005; done; [ -n \"$(ss -Hltn 'sport = :\(port)')\" ]"
    }

    static func checkpoint(_ trial: Trial, _ options: String = "") throws {
        let answer = try trial.source.attempt("runc checkpoint \(checkpointOptions) \(options) \(trial.id) \(quiet)")
        guard answer.status == 0 else { throw try dumpFailure(trial) }
        try unplug(trial)
    }

    /// The source's namespace still answers for the address, and the switch would go on sending everything there.
    static func unplug(_ trial: Trial) throws { try trial.source.run("ip link set \(trial.cable) nomaster") }

    static let checkpointOptions = "--tcp-established --image-path \(images)/images --work-path \(images)/work"

    static func dumpFailure(_ trial: Trial) throws -> Failure {
        Failure(
            "runc checkpoint failed:\n"
                + (try trial.source.attempt("grep -E 'Error|Warn' \(images)/work/dump.log | tail -n 8").output))
    }

    /// Copies the images from memory to memory.
    static func copyImages(_ trial: Trial) throws {
        try send(trial, port: imagePort, folder: images, name: "images")
    }

    /// Restores, plugs the cable in and says so to the network.
    static func restore(_ trial: Trial, _ options: String = "") throws {
        let answer = try trial.destination.attempt(
            """
            runc restore -d --tcp-established --image-path \(images)/images --work-path \(images)/work \(options) --bundle /data/\(trial.id) \(trial.id) \(quiet) &&
            \(plugIn(trial))
            """)
        guard answer.status == 0 else {
            let log = try trial.destination.attempt("grep -E 'Error' \(images)/work/restore.log | tail -n 8").output
            throw Failure("runc restore failed:\n\(log)")
        }
    }

    static func plugIn(_ trial: Trial) -> String {
        "ip link set \(trial.cable) master br0 && { ip netns exec \(trial.id) arping -q -U -c 1 -w 1 -I eth0 \(trial.address) & }"
    }

    /// Where three copies of the memory (images twice and the restored container) don't fit, the source's images go at once.
    static func makeRoom(_ trial: Trial, _ machine: Machine) throws {
        guard machine.memory < 3 * trial.bytes + 2 << 30 else { return }
        try trial.source.run("rm -rf \(images)/images \(images)/checkpoint.tar")
    }

    /// Whatever a trial left, in a good or a bad end.
    static func cleanUp(_ trial: Trial) throws {
        for shell in [trial.source, trial.destination] {
            _ = try shell.attempt(
                """
                for job in $(jobs -p); do kill $job; done
                # A CRIU whose runc was killed waits on. The host has process numbers of its own: these can only be ours.
                for comm in $(grep -lxE 'criu|criu.real' /proc/[0-9]*/comm); do kill -9 $(basename $(dirname $comm)); done
                rm -rf \(images) /etc/criu/runc.conf
                wait
                """, seconds: 60)
        }
        for host in ["alpha", "beta"] { try trial.lab.call("rm", host, trial.id) }
        // A network namespace lives until the last of its processes is torn down, and 8 GB of them take a moment.
        for shell in [trial.source, trial.destination] {
            try shell.run(
                "for try in $(seq 500); do [ -e /sys/class/net/\(trial.cable) ] || break; sleep 0.02; done; [ ! -e /sys/class/net/\(trial.cable) ]"
            )
        }
    }
}
