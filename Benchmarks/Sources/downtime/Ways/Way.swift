/// What one trial works with: a redis in container `id` with an address of its own, running on the source.
final class Trial {
    let source: HostShell
    let destination: HostShell
    let lab: Lab
    let id = "bench"
    let address = "10.77.1.90"
    let destinationAddress = "10.77.0.2"
    let port: UInt16
    /// What stands behind `--size`, in bytes.
    let bytes: Int
    /// Further words for `martlet migrate`.
    let martletOptions: String

    init(lab: Lab, bytes: Int, martletOptions: String, port: UInt16 = 6379) throws {
        self.port = port
        self.lab = lab
        self.bytes = bytes
        self.martletOptions = martletOptions
        source = try HostShell(lab, "alpha")
        destination = try HostShell(lab, "beta")
    }

    /// The host's end of the container's cable, as lab/network names it.
    var cable: String { "v-" + address.split(separator: ".").suffix(2).joined(separator: "-") }
}

/// A step of a migration with its time.
struct Step: Codable, Sendable {
    var name: String
    var milliseconds: Double
    /// No copy of the container ran.
    var frozen: Bool
}

/// A piece of work inside the freeze; such pieces lie beside and inside each other.
struct Detail: Codable, Sendable {
    /// `source: criu: dump`.
    var name: String
    /// Since the freeze.
    var startMS: Double
    var milliseconds: Double
}

/// What a way did.
struct Moved: Codable, Sendable {
    /// ns of `now()`.
    var start: Int64
    var end: Int64
    var steps: [Step]
    /// As Martlet itself reports it; nil for the peers.
    var reportedDowntimeMS: Double?
    var rounds: Int?
    var method: String?
    var details: [Detail] = []

    var totalMS: Double { milliseconds(end - start) }
}

/// A way to move the container from the source to the destination.
protocol Way: Sendable {
    static var name: String { get }
    /// Right after the container's start, before it is filled: makes it one that this way can move.
    static func adopt(_ trial: Trial) throws
    /// Before anything is measured: nothing of this is in the total.
    static func prepare(_ trial: Trial) throws
    static func migrate(_ trial: Trial) throws -> Moved
    /// At the destination.
    static func isRunning(_ trial: Trial) throws -> Bool
    /// Whatever this way left that `ByHand.cleanUp` doesn't know.
    static func forget(_ trial: Trial) throws
}

extension Way {
    static func adopt(_ trial: Trial) throws {}
    static func isRunning(_ trial: Trial) throws -> Bool {
        try trial.destination.run("runc state \(trial.id)").contains("\"running\"")
    }
    static func forget(_ trial: Trial) throws {}
}

var allWays: [any Way.Type] { [MartletWay.self, RuncWay.self, PageServerWay.self, LazyPagesWay.self] }

/// Takes the times of steps that follow each other.
struct Stopwatch {
    let start = now()
    private var last: Int64
    private(set) var steps: [Step] = []

    init() { last = start }

    mutating func step(_ name: String, frozen: Bool) {
        let at = now()
        steps.append(Step(name: name, milliseconds: milliseconds(at - last), frozen: frozen))
        last = at
    }

    func moved() -> Moved { Moved(start: start, end: last, steps: steps) }
}
