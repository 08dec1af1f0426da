import Glibc

/// `martlet migrate --auto-converge`, which needs a limit of processor time that it can lower. Where cgroup v2 has no cpu controller, which this machine
/// may have given to v1, the container is put into a group of v1, without a limit of its own.
enum AutoConvergeWay: Way {
    static let name = "auto-converge"
    private static let mount = "/run/lab/cpu"
    private static let group = "\(mount)/martlet-bench-\(getpid())"

    static func adopt(_ trial: Trial) throws {
        guard try trial.source.attempt("test -e /sys/fs/cgroup/\(trial.id)/cpu.max").status != 0 else { return }
        try trial.source.run(
            """
            mkdir -p \(mount); mountpoint -q \(mount) || mount -t cgroup -o cpu none \(mount); mkdir -p \(group)
            for process in $(cat /sys/fs/cgroup/\(trial.id)/cgroup.procs); do echo $process >\(group)/cgroup.procs; done
            """)
    }

    static func prepare(_ trial: Trial) throws { try MartletWay.prepare(trial) }
    static func migrate(_ trial: Trial) throws -> Moved { try MartletWay.migrate(trial) }

    /// The container has left the group when it has ended here.
    static func forget(_ trial: Trial) throws {
        _ = try trial.source.attempt(
            """
            if [ -d \(group) ]; then
                runc delete --force \(trial.id)
                for try in $(seq 100); do rmdir \(group) 2>/dev/null && break; sleep 0.1; done; umount \(mount); rmdir \(mount)
            fi
            """)
    }
}
