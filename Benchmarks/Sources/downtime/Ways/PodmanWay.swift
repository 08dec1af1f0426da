/// `podman container checkpoint --export`, `scp` of the archive, `podman container restore --import`, with runc below it.
///
/// Image and network namespace are there beforehand; the archive is not compressed (faster on these links) and lies in memory on both sides.
enum PodmanWay: Way {
    static let name = "podman"
    private static let image = "bench-image"
    private static let archive = "\(ByHand.images)/checkpoint.tar"

    /// The container that lab/redis has made gives way to one of the same files and words that podman runs.
    static func adopt(_ trial: Trial) throws {
        try trial.source.run(
            """
            jq -r '.process.args[]' /data/\(trial.id)/config.json >/run/bench-words
            runc kill \(trial.id) KILL; until runc delete --force \(trial.id); do sleep 0.1; done
            tar -C /data/\(trial.id)/rootfs -c . | podman import - \(image) >/dev/null 2>&1
            mapfile -t words </run/bench-words
            podman --runtime runc run -d --pids-limit 0 --name \(trial.id) --network ns:/run/netns/\(trial.id) --log-driver none \(image) "${words[@]}" \(ByHand.quiet)
            for try in $(seq 200); do redis-cli -h \(trial.address) ping 2>&1 | grep -q PONG && break; sleep 0.05; done
            redis-cli -h \(trial.address) ping | grep -q PONG
            """)
    }

    static func prepare(_ trial: Trial) throws {
        try ByHand.prepare(trial)
        try trial.source.run(
            "podman save \(image) 2>/dev/null | ssh -o BatchMode=yes root@\(trial.destinationAddress) podman load >/dev/null 2>&1"
        )
    }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try checked(
            trial.source,
            "podman --runtime runc container checkpoint --export \(archive) --compress none --tcp-established \(trial.id)")
        try ByHand.unplug(trial)
        watch.step("dump", frozen: true)
        try trial.source.run("scp -q -o BatchMode=yes \(archive) root@\(trial.destinationAddress):\(archive) </dev/null")
        try ByHand.makeRoom(trial, Machine.here)
        watch.step("copy", frozen: true)
        try checked(trial.destination, "podman --runtime runc container restore --import \(archive) --tcp-established")
        try trial.destination.run(ByHand.plugIn(trial))
        watch.step("restore", frozen: true)
        return watch.moved()
    }

    private static func checked(_ shell: HostShell, _ command: String) throws {
        let answer = try shell.attempt("\(command) </dev/null")
        guard answer.status == 0 else { throw Failure("on \(shell.host): \(command):\n\(answer.output.suffix(1000))") }
    }

    static func isRunning(_ trial: Trial) throws -> Bool {
        try trial.destination.run("podman ps --format '{{.Names}} {{.Status}}'").contains("\(trial.id) Up")
    }

    static func forget(_ trial: Trial) throws {
        for shell in [trial.source, trial.destination] {
            _ = try shell.attempt("podman rm -f -t 0 \(trial.id); podman rmi -f \(image)", seconds: 60)
        }
    }
}
