/// `runc checkpoint` to memory, tar over TCP, `runc restore`.
enum RuncWay: Way {
    static let name = "runc"

    static func prepare(_ trial: Trial) throws { try ByHand.prepare(trial) }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try ByHand.copyBundle(trial)
        try ByHand.listen(trial, port: ByHand.imagePort, goal: ByHand.images)
        watch.step("bundle", frozen: false)
        try ByHand.checkpoint(trial)
        watch.step("dump", frozen: true)
        try ByHand.copyImages(trial)
        try ByHand.makeRoom(trial, Machine.here)
        watch.step("copy", frozen: true)
        try ByHand.restore(trial)
        watch.step("restore", frozen: true)
        return watch.moved()
    }
}

/// CRIU's page server at the destination takes the memory while it is dumped; the rest of the images follows.
enum PageServerWay: Way {
    static let name = "page-server"

    static func prepare(_ trial: Trial) throws { try ByHand.prepare(trial) }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try ByHand.copyBundle(trial)
        try ByHand.listen(trial, port: ByHand.imagePort, goal: ByHand.images)
        try trial.destination.run(
            """
            criu page-server --images-dir \(ByHand.images)/images --work-dir \(ByHand.images)/work --address 0.0.0.0 --port \(ByHand.pagePort) -o page-server.log \(ByHand.quiet) & page_server=$!
            \(ByHand.awaitPort(ByHand.pagePort))
            """)
        watch.step("bundle", frozen: false)
        try ByHand.checkpoint(trial, "--page-server \(trial.destinationAddress):\(ByHand.pagePort)")
        try trial.destination.run("wait $page_server")
        watch.step("dump", frozen: true)
        try ByHand.copyImages(trial)
        watch.step("copy", frozen: true)
        try ByHand.restore(trial)
        watch.step("restore", frozen: true)
        return watch.moved()
    }
}

/// CRIU's lazy pages: the container runs before its memory has come, and fetches it from the stopped source.
enum LazyPagesWay: Way {
    static let name = "lazy-pages"

    static func prepare(_ trial: Trial) throws {
        try ByHand.prepare(trial)
        // Without CAP_SYS_RESOURCE CRIU may not make its pipes larger than this allows, and it needs 4 MB.
        try trial.source.run("[ \"$(cat /proc/sys/fs/pipe-max-size)\" -ge 4194304 ] || echo 4194304 >/proc/sys/fs/pipe-max-size")
    }

    static func migrate(_ trial: Trial) throws -> Moved {
        var watch = Stopwatch()
        try ByHand.copyBundle(trial)
        try ByHand.listen(trial, port: ByHand.imagePort, goal: ByHand.images)
        watch.step("bundle", frozen: false)
        let ready = try trial.source.attempt(
            """
            mkfifo \(ByHand.images)/ready && exec 8<>\(ByHand.images)/ready
            runc checkpoint --lazy-pages --page-server 0.0.0.0:\(ByHand.pagePort) --status-fd 9 \(ByHand.checkpointOptions) \(trial.id) 9>\(ByHand.images)/ready \(ByHand.quiet) & dumper=$!
            { dd bs=1 count=1 status=none <&8 >\(ByHand.images)/is-ready.new && mv \(ByHand.images)/is-ready.new \(ByHand.images)/is-ready; } & waiter=$!
            until [ -e \(ByHand.images)/is-ready ] || ! kill -0 $dumper; do sleep 0.002; done; kill -0 $dumper
            """)
        guard ready.status == 0 else { throw try ByHand.dumpFailure(trial) }
        try ByHand.unplug(trial)
        watch.step("dump", frozen: true)
        try ByHand.copyImages(trial)
        watch.step("copy", frozen: true)
        try trial.destination.run(
            """
            criu lazy-pages --images-dir \(ByHand.images)/images --work-dir \(ByHand.images)/work --page-server --address 10.77.0.1 --port \(ByHand.pagePort) -o lazy-pages.log \(ByHand.quiet) & fetcher=$!
            for try in $(seq 1000); do [ -S \(ByHand.images)/work/lazy-pages.socket ] && break; sleep 0.005; done
            """)
        try ByHand.restore(trial, "--lazy-pages")
        watch.step("restore", frozen: true)
        try trial.destination.run("wait $fetcher")
        try trial.source.run("exec 8>&-; wait $waiter; wait $dumper")
        watch.step("fill", frozen: false)
        return watch.moved()
    }
}
