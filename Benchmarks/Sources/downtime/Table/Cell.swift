/// One cell of the table: what moves, under what, over what, how.
struct Cell: Sendable {
    var workload: Workload
    var isLoaded: Bool
    var link: Link
    var way: NamedWay

    var name: String { "\(workload.name) \(isLoaded ? "load" : "idle") \(link.rawValue) \(way.name)" }

    /// Seconds that it takes on a machine of two cores, roughly: the filling, the move, looking at all of it twice.
    var seconds: Double {
        let size = workload.kind == .nginx ? 0.1 : workload.size
        let perGB: Double
        switch workload.kind {
        case .redis: perGB = way.isPeer ? 24 : 14
        case .postgres: perGB = 45
        case .nginx, .torture: perGB = 20
        }
        let slow = link == .ten || link == .none ? 0 : size * 10
        return 10 + size * perGB + slow
    }
}

/// How the two hosts are connected.
enum Link: String, CaseIterable, Sendable {
    /// As the machine is: no rate.
    case none
    case ten = "10g"
    case one = "1g"
    /// 1 Gbit/s, 50 ms there and back.
    case long

    func shape(_ lab: Lab) throws {
        for host in ["alpha", "beta"] {
            try lab.call("link", host, "--clear")
            switch self {
            case .none: break
            case .ten: try lab.call("link", host, "--rate", "10gbit")
            case .one, .long: try lab.call("link", host, "--rate", "1gbit")
            }
        }
        if self == .long { try lab.call("link", "beta", "--delay", "25ms") }
    }
}

/// A method of Martlet's, or a peer.
struct NamedWay: Sendable {
    var name: String
    var way: any Way.Type
    /// Further words for `martlet migrate`.
    var options = ""

    var isPeer: Bool { way != MartletWay.self }

    static let methods = ["auto", "stop-copy", "page-server", "pre-copy", "pre-copy-page-server", "post-copy", "hybrid"]
    static let all: [NamedWay] =
        methods.map { NamedWay(name: $0, way: MartletWay.self, options: "--method \($0)") } + [
            NamedWay(name: "auto-converge", way: AutoConvergeWay.self, options: "--method pre-copy --auto-converge"),
            NamedWay(name: "runc-tar", way: RuncWay.self), NamedWay(name: "runc-scp", way: RuncScpWay.self),
            NamedWay(name: "runc-shared", way: RuncSharedWay.self), NamedWay(name: "criu-page-server", way: PageServerWay.self),
            NamedWay(name: "criu-lazy-pages", way: LazyPagesWay.self), NamedWay(name: "podman", way: PodmanWay.self),
        ]

    init(name: String, way: any Way.Type, options: String = "") { (self.name, self.way, self.options) = (name, way, options) }

    init(_ name: String) throws {
        guard let way = Self.all.first(where: { $0.name == name }) else {
            throw Failure("there is no way '\(name)': \(Self.all.map(\.name).joined(separator: ", "))")
        }
        self = way
    }
}

extension Cell {
    /// A list: a line has workloads, loads (idle, load), links and ways, each separated by commas: all of their combinations. `#` begins a remark.
    static func list(_ text: String) throws -> [Cell] {
        try text.split(separator: "\n").map { $0.prefix { $0 != "#" } }.filter { !$0.allSatisfy(\.isWhitespace) }.flatMap(line)
    }

    private static func line(_ line: Substring) throws -> [Cell] {
        let columns = line.split(whereSeparator: \.isWhitespace).map { $0.split(separator: ",").map(String.init) }
        guard columns.count == 4 else { throw Failure("'\(line)' is not: WORKLOADS LOADS LINKS WAYS") }
        var cells: [Cell] = []
        for workload in try columns[0].map(Workload.init) {
            for load in columns[1] {
                guard load == "idle" || load == "load" else { throw Failure("'\(load)' is no load: idle, load") }
                for link in columns[2] {
                    guard let link = Link(rawValue: link) else { throw Failure("'\(link)' is no link: none, 10g, 1g, long") }
                    for way in columns[3] {
                        cells.append(Cell(workload: workload, isLoaded: load == "load", link: link, way: try NamedWay(way)))
                    }
                }
            }
        }
        return cells
    }
}
