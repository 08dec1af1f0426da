/// `runc checkpoint`, `scp -r` of the images, `runc restore`: what most instructions tell.
enum RuncScpWay: Way {
    static let name = "runc-scp"

    static func prepare(_ trial: Trial) throws {
        try ByHand.prepare(trial)
        // The host's key is known, and its files have been read once.
        try trial.source.run("ssh -o BatchMode=yes root@\(trial.destinationAddress) true </dev/null")
    }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try ByHand.copyBundle(trial)
        watch.step("bundle", frozen: false)
        try ByHand.checkpoint(trial)
        watch.step("dump", frozen: true)
        try trial.source.run(
            "scp -q -r -o BatchMode=yes \(ByHand.images)/images/. root@\(trial.destinationAddress):\(ByHand.images)/images/ </dev/null"
        )
        watch.step("copy", frozen: true)
        try ByHand.makeRoom(trial, Machine.here)
        try ByHand.restore(trial)
        watch.step("restore", frozen: true)
        return watch.moved()
    }
}

/// `runc checkpoint` and `runc restore` with the images on a tmpfs that both hosts see: nothing is copied at all. No two machines have that; it is the
/// least that checkpoint and restore could take with a perfect network.
enum RuncSharedWay: Way {
    static let name = "runc-shared"

    static func prepare(_ trial: Trial) throws {
        try ByHand.prepare(trial)
        for shell in [trial.source, trial.destination] {
            try shell.run("mkdir -p \(Share.place)")
            guard try shell.attempt("mountpoint -q \(Share.place)").status != 0 else { continue }
            let share = try Process(["/proc/self/exe", "share", "\(shell.pid)"])
            guard share.wait() == 0 else { throw Failure("no tmpfs could be shared with \(shell.host)") }
        }
        try trial.source.run("rm -rf \(Share.place)/images && mkdir \(Share.place)/images")
        for shell in [trial.source, trial.destination] {
            try shell.run("rmdir \(ByHand.images)/images && ln -sfn \(Share.place)/images \(ByHand.images)/images")
        }
    }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try ByHand.copyBundle(trial)
        watch.step("bundle", frozen: false)
        try ByHand.checkpoint(trial)
        watch.step("dump", frozen: true)
        try ByHand.restore(trial)
        watch.step("restore", frozen: true)
        return watch.moved()
    }

    static func forget(_ trial: Trial) throws { try trial.source.run("rm -rf \(Share.place)/images") }
}
