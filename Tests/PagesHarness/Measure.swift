import Glibc
import Host
import Model
import Pages
import Synchronization

extension Harness {
    /// Lands an image, lets lazyclient read it while it is filled, and prints what it cost.
    static func measure(_ client: String, _ folder: String, _ pages: Int) throws {
        let gigabytes = Double(pages) * 4096 / Double(1 << 30)
        let landing = try PageStore(kind: .memory, capacity: .gibibytes(16))
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        memset(room.baseAddress!, 7, room.count)
        for pass in ["first landing", "landing again"] {
            let began = MonotonicInstant.now, cpu = threadTime()
            for page in stride(from: 0, to: pages, by: 64) {
                try landing.land(SpaceID(9), address: Stamp.base(0) + UInt64(page * 4096), UnsafeRawBufferPointer(room))
            }
            say("\(pass): \(began.elapsed.inMilliseconds / gigabytes) ms/GB, CPU \((threadTime() - cpu) / gigabytes) s/GB")
        }
        landing.drop(SpaceID(9))
        for scenario in ["idle", "plain"] {
            let store = try PageStore(kind: .memory, capacity: .gibibytes(16))
            try Stamp.land(store, process: 0, pages: pages, dense: true)
            let mail = Mailbox<FaultServerEvent>()
            let server = try FaultServer(
                store: store, folder: folder, spaceOf: { SpaceID(UInt32($0)) }, events: { mail.post($0) })
            let input = try Pipe()
            var spawn = Spawn(client, [folder, scenario, "\(pages)", "1", "7"])
            spawn.environment = ["DENSE=1"]
            spawn.descriptors = [0: input.read.raw, 1: 1]
            let child = try spawn.start()
            while let event = mail.next() { if case .finished = event { break } }
            write(input.write.raw, "go\n", 3)
            server.startFill()
            while let event = mail.next() {
                guard case .filled(let f) = event else { continue }
                let rate = Double(f.pushed) * 4096 / 1e6 / f.duration.inMilliseconds
                say(
                    "\(scenario): fill \(f.duration.inMilliseconds) ms, pushed \(f.pushed) pages at \(rate) GB/s, faults \(f.faults), "
                        + "service mean \(f.serviceMean.inMilliseconds * 1000) us, max \(f.serviceMax.inMilliseconds * 1000) us")
                break
            }
            _ = try child.wait()
        }
    }

    private static func threadTime() -> Double {
        var t = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
        return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
    }
}
