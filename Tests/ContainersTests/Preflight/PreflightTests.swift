import Testing

@testable import Containers
@testable import Host
import Model

extension HostFacts {
    static func sample(_ name: String, _ change: (inout HostFacts) -> Void = { _ in }) -> HostFacts {
        var facts = HostFacts(
            name: name, architecture: "x86_64", kernel: DottedVersion(6, 18), criu: DottedVersion(4, 2),
            processorFlags: ["fpu", "sse4_2", "avx", "avx2", "hypervisor", "smep"], processorModel: "Sample 1",
            features: Set(HostFeature.allCases), programs: Set(HostProgram.allCases), securityModules: [])
        change(&facts)
        return facts
    }
}

extension ContainerFacts {
    static var sample: ContainerFacts {
        ContainerFacts(
            id: "web", state: .running, terminal: false, bundle: "/srv/web", rootfs: "/srv/web/rootfs",
            binds: [.init(source: "/srv/shared", destination: "/data", sight: "nfs4 store:/shared")],
            trees: [.init(path: "/srv/web", bytes: .mebibytes(100), entries: 1000)],
            processes: [ProcessFacts(pid: 100, command: "nginx")], sockets: SocketFacts(bound: [.init(.tcp, "0.0.0.0", 80)]),
            memory: .mebibytes(200), guests: [], nestedGroups: 0,
            network: NetworkDescription(
                kind: .named, path: "/run/netns/web",
                interfaces: [
                    .init(
                        name: "eth0", index: 4, mac: "02:00:00:00:00:05", mtu: 1500, kind: "veth",
                        addresses: [.init(text: "10.77.1.5", prefix: 24), .init(text: "fe80::5", prefix: 64, scope: "link")],
                        hostName: "vweb", bridge: "br0")
                ]),
            sharesProcessIDs: false)
    }
}

/// One rule: what is changed in a case without findings, and what is found then.
private struct Rule: Sendable, CustomTestStringConvertible {
    var expected: [String]
    var words: [String]
    var change: @Sendable (inout Preflight) -> Void
    init(_ expected: String..., words: [String] = [], _ change: @escaping @Sendable (inout Preflight) -> Void) {
        (self.expected, self.words, self.change) = (expected, words, change)
    }
    var testDescription: String { "\(expected.joined(separator: ", ")) \(words.joined(separator: " "))" }
}

@Suite("The pre-flight judges")
struct PreflightTests {
    private static let sample: Preflight = {
        var destination = DestinationFacts(
            host: .sample("beta"), places: ["/srv/web": .create],
            freeSpace: ["/srv/web": .init(device: 1, bytes: .gibibytes(10), entries: 100_000)], availableMemory: .gibibytes(1))
        destination.bindSights = ["/srv/shared": "nfs4 store:/shared"]
        return Preflight(source: .sample("alpha"), container: .sample, destination: destination, wishes: PreflightWishes())
    }()

    private static func process(_ change: @escaping @Sendable (inout ProcessFacts) -> Void) -> @Sendable (inout Preflight) -> Void
    {
        { change(&$0.container.processes[0]) }
    }
    private static let connection = SocketFacts.Connection(
        local: .init(.tcp, "10.77.1.5", 80), peer: .init(.tcp, "10.77.1.9", 50000))

    @Test func `nothing is found where nothing is wrong`() { #expect(Self.sample.findings().isEmpty) }

    private static let hosts: [Rule] = [
        Rule("kernel-too-old", words: ["5.10", "alpha"]) { $0.source.kernel = DottedVersion(5, 10) },
        Rule("kernel-too-old", words: ["beta"]) { $0.destination.host.kernel = DottedVersion(4, 19) },
        Rule("criu-too-old", words: ["3.17.1", "beta"]) { $0.destination.host.criu = DottedVersion(3, 17, 1) },
        Rule("criu-missing", words: ["alpha"]) { $0.source.criu = nil },
        Rule("program-missing", words: ["rsync", "beta"]) { $0.destination.host.programs.remove(.rsync) },
        Rule("program-missing", words: ["ip"]) { $0.source.programs.remove(.ip) },
        Rule {
            $0.source.programs.remove(.ip)
            $0.container.network = .unnamed
        },
        Rule("criu-check", words: ["beta", "CONFIG"]) { $0.destination.host.criuComplaint = "no ns_last_pid" },
        Rule("feature-missing") { $0.destination.host.features.remove(.cgroup2) },
        Rule("architecture-differs", words: ["aarch64"]) {
            $0.destination.host.architecture = "aarch64"
            $0.destination.host.processorFlags = []
        },
        Rule("cpu-flags-missing", words: ["avx2", "SIGILL"]) { $0.destination.host.processorFlags.remove("avx2") },
        Rule { $0.destination.host.processorFlags.subtract(["hypervisor", "smep"]) },
        Rule { $0.destination.host.processorFlags.insert("avx512f") },
    ]
    private static let containers: [Rule] = [
        Rule("container-paused") { $0.container.state = .paused },
        Rule("container-not-running") { $0.container.state = .stopped },
        Rule("terminal") { $0.container.terminal = true },
        Rule("id-taken", words: ["beta", "web"]) { $0.destination.idTaken = true },
        Rule("pid-namespace-shared") { $0.container.sharesProcessIDs = true },
        Rule("tmpfs-in-images", words: ["/dev/shm", "something is mounted in it"]) {
            $0.container.imagedTmpfs = [.init(point: "/dev/shm", why: "something is mounted in it")]
        },
        Rule("exec-session", words: ["bash (77)"]) { $0.container.guests = [.init(pid: 77, command: "bash")] },
        Rule("nested-cgroups") { $0.container.nestedGroups = 2 },
        Rule("memory-short", words: ["2 GiB", "1 GiB"]) { $0.container.memory = .gibibytes(2) },
        // The store of what is on its way: a little more than the container, in memory or on disk.
        Rule("memory-short", words: ["1014.3 MiB of memory have", "beta"]) {
            $0.container.memory = .mebibytes(905)
            $0.destination.host.room = HostRoom(memory: .gibibytes(1), volatile: .gibibytes(1), durable: .mebibytes(10))
            $0.destination.host.room?.memory = .mebibytes(1010)
        },
        Rule {
            $0.container.memory = .mebibytes(905)
            $0.destination.host.room = HostRoom(memory: .mebibytes(1010), volatile: .gibibytes(1), durable: .gibibytes(2))
        },
        // All memory in images: they lie beside the process, at the source as well as at the destination.
        Rule("memory-short", words: ["beta", "restored"]) {
            $0.wishes.lazy = false
            $0.source.room = HostRoom(memory: .gibibytes(4), volatile: .gibibytes(2), durable: .mebibytes(10))
            $0.destination.host.room = HostRoom(memory: .mebibytes(300), volatile: .gibibytes(2), durable: .mebibytes(10))
        },
        Rule("memory-short", words: ["alpha", "dumped"]) {
            $0.wishes.lazy = false
            $0.source.room = HostRoom(memory: .gibibytes(4), volatile: .mebibytes(100), durable: .mebibytes(100))
            $0.destination.host.room = HostRoom(memory: .mebibytes(300), volatile: .gibibytes(2), durable: .gibibytes(1))
        },
        Rule("task-32bit", words: ["nginx (100)"], process { $0.is32Bit = true }),
        Rule("traced", words: ["4711"], process { $0.tracer = 4711 }),
        Rule("hugetlb", words: ["64 MiB"], process { $0.hugePages = .mebibytes(64) }),
        Rule("io-uring", words: ["2 rings", "seccomp"], process { $0.anonymousInodes = ["io_uring": 2] }),
        Rule(
            words: [],
            process {
                $0.anonymousInodes = ["eventfd": 3, "eventpoll": 1, "timerfd": 1, "signalfd": 1, "inotify": 1, "pidfd": 1]
            }),
        Rule(
            "descriptor-unsupported", words: ["perf_event", "userfaultfd"],
            process { $0.anonymousInodes = ["perf_event": 1, "userfaultfd": 1] }),
        Rule("fanotify", words: [], process { $0.anonymousInodes = ["fanotify": 1] }),
        Rule("device-open", words: ["/dev/kvm"], process { $0.devices = ["/dev/kvm", "/dev/null", "/dev/urandom"] }),
        Rule("socket-unsupported", words: ["SCTP", "AF_VSOCK"], process { $0.otherSockets = ["SCTP", "AF_VSOCK", "SCTP"] }),
        Rule("socket-unsupported", words: ["MPTCP", "GODEBUG"], process { $0.otherSockets = ["MPTCP"] }),
        Rule("packet-socket", words: [], process { $0.otherSockets = ["PACKET"] }),
        Rule(
            "ghost-file-too-large", words: ["/tmp/big", "5 MiB", "1 MiB"],
            process {
                $0.deletedFiles = [.init(path: "/tmp/big", size: .mebibytes(5)), .init(path: "/tmp/small", size: ByteCount(10))]
            }),
        Rule {
            $0.container.processes[0].deletedFiles = [.init(path: "/tmp/big", size: .mebibytes(5))]
            $0.wishes.ghostLimit = .mebibytes(8)
        },
        Rule("lsm-label", words: ["docker-default", "apparmor"], process { $0.label = "docker-default (enforce)" }),
        Rule("lsm-label", words: ["selinux"], process { $0.label = "system_u:system_r:container_t:s0" }),
        Rule {
            $0.container.processes[0].label = "docker-default (enforce)"
            $0.destination.host.securityModules = ["apparmor"]
        },
    ]
    private static let places: [Rule] = [
        Rule("bundle-taken", words: ["/srv/web", "mv /srv/web"]) { $0.destination.places["/srv/web"] = .refuse(.foreign) },
        Rule("bundle-taken", words: ["db"]) { $0.destination.places["/srv/web"] = .refuse(.usedBy("db")) },
        Rule("bundle-taken", words: ["system folder"]) { $0.destination.places["/srv/web"] = .refuse(.forbiddenPath) },
        Rule("bundle-reused") { $0.destination.places["/srv/web"] = .reuseUnrecorded },
        Rule { $0.destination.places["/srv/web"] = .reuse },
        Rule("bind-missing", words: ["/srv/shared", "/data", "--copy-volume"]) {
            $0.destination.missingBindSources = ["/srv/shared"]
        },
        Rule("bind-stays", words: ["/srv/shared", "/data", "beta"]) {
            $0.destination.bindSights = ["/srv/shared": "nfs4 other:/shared"]
        },
        Rule("bind-stays") { $0.destination.bindSights = [:] },
        Rule("bind-stays") {
            $0.container.binds[0].sight = nil
            $0.destination.bindSights = [:]
        },
        Rule { $0.container.trees.append(.init(path: "/srv/shared", bytes: .zero, entries: 1)) },
        Rule("disk-short", words: ["20 GiB", "10 GiB"]) { $0.container.trees[0].bytes = .gibibytes(20) },
        Rule {
            $0.container.trees[0].bytes = .gibibytes(20)
            $0.destination.places["/srv/web"] = .reuse
        },
        Rule("inodes-short", words: ["200000"]) { $0.container.trees[0].entries = 200_000 },
        Rule("disk-short", words: ["/srv/web, /vol"]) {
            $0.container.trees = [
                .init(path: "/srv/web", bytes: .gibibytes(6), entries: 1), .init(path: "/vol", bytes: .gibibytes(6), entries: 1),
            ]
            $0.destination.freeSpace["/vol"] = $0.destination.freeSpace["/srv/web"]
        },
    ]
    private static let networks: [Rule] = [
        Rule("connections-established", words: ["10.77.1.9:50000", "--tcp-established"]) {
            $0.container.sockets.connections = [connection]
        },
        Rule {
            $0.container.sockets.connections = [connection]
            $0.wishes.connections = .keep
        },
        Rule {
            $0.container.sockets.connections = [connection]
            $0.wishes.connections = .close
        },
        Rule("connections-closed", words: ["10.77.1.9:50000", "1 TCP connection will", "--tcp-close"]) {
            $0.container.sockets.connections = [connection]
            $0.wishes.connections = .closeUnasked
        },
        Rule("nft-missing", words: ["nftables"]) {
            $0.wishes.connections = .keep
            $0.source.programs.remove(.nft)
        },
        Rule {
            $0.wishes.connections = .close
            $0.source.programs.remove(.nft)
        },
        Rule("connections-on-host-address") {
            $0.container.sockets.connections = [connection]
            $0.wishes.connections = .keep
            $0.container.network = .host
        },
        Rule("unix-outside", words: ["/dev/log", "4242"]) {
            $0.container.sockets.outsideUnix = [.init(name: "/dev/log", inode: 4242)]
        },
        Rule("port-taken", words: ["tcp 0.0.0.0:80", "tcp [::]:80"]) {
            $0.container.network = .host
            $0.destination.usedPorts = [.init(.tcp, "::", 80)]
        },
        Rule {
            $0.container.network = .host
            $0.destination.usedPorts = [.init(.udp, "::", 80), .init(.tcp, "::", 81)]
        },
        Rule { $0.destination.usedPorts = [.init(.tcp, "::", 80)] },
        Rule("netns-taken", words: ["ip netns delete web"]) { $0.destination.namespaceTaken = true },
        Rule("address-taken", words: ["10.77.1.5"]) { $0.destination.takenAddresses = ["10.77.1.5"] },
        Rule("address-taken", words: ["redis (17) on beta", "10.77.1.5"]) { $0.destination.rivals = ["10.77.1.5": "redis (17)"] },
        Rule("bridge-missing", words: ["br0", "--bridge"]) { $0.destination.missingBridges = ["br0"] },
        Rule("interface-unsupported", words: ["macvlan"]) { $0.container.network.interfaces[0].kind = "macvlan" },
        Rule("interface-unsupported", words: ["without a bridge"]) { $0.container.network.interfaces[0].bridge = nil },
        Rule("network-extras", words: ["2 routing rules"]) { $0.container.network.extras = ["2 routing rules of its own"] },
    ]

    @Test(arguments: hosts + containers + places + networks)
    private func `each rule finds its case and no other`(_ rule: Rule) {
        var preflight = Self.sample
        rule.change(&preflight)
        let found = preflight.findings()
        #expect(found.map(\.code) == rule.expected)
        let text = found.map { "\($0.what) \($0.why) \($0.hint)" }.joined()
        for word in rule.words { #expect(text.contains(word)) }
    }

    @Test func `blockers come first`() {
        var preflight = Self.sample
        preflight.container.nestedGroups = 1
        preflight.destination.namespaceTaken = true
        #expect(preflight.findings().map(\.severity) == [.blocker, .warning])
    }

    @Test(
        arguments: [
            (("0.0.0.0", 80), ("127.0.0.1", 80), true), (("10.0.0.1", 80), ("10.0.0.2", 80), false),
            (("::", 80), ("10.0.0.2", 80), true),
            (("0.0.0.0", 80), ("::1", 80), false), (("::1", 80), ("::", 80), true), (("10.0.0.1", 80), ("10.0.0.1", 81), false),
        ] as [((String, UInt16), (String, UInt16), Bool)])
    func `two ports clash or not`(_ a: (String, UInt16), _ b: (String, UInt16), _ expected: Bool) {
        let (x, y) = (SocketFacts.Endpoint(.tcp, a.0, a.1), SocketFacts.Endpoint(.tcp, b.0, b.1))
        #expect(x.clashes(with: y) == expected && y.clashes(with: x) == expected)
    }

    @Test(
        arguments: [
            ("Version: 4.2\nGitID: v4.2", DottedVersion(4, 2)), ("6.18.44-fc-v657", DottedVersion(6, 18, 44)),
            ("runc version 1.1.15+ds1-2", DottedVersion(1, 1, 15)),
            ("v3.17.1", DottedVersion(3, 17, 1)), ("nothing here", nil), ("5", nil), ("", nil),
        ] as [(String, DottedVersion?)])
    func `versions are read`(_ text: String, _ expected: DottedVersion?) { #expect(DottedVersion(in: text) == expected) }

    @Test func `a bind source is recognized by its content or its server, and a folder of one host isn't`() throws {
        let folder = try Workspace("sight")
        try folder.shell("echo same > a; echo same > b; echo other > c; mkdir local; mkfifo fifo; touch empty; mkdir -p share/in")
        let sight = { (name: String) in BindSight.of(folder.at(name), mounts: []) }
        #expect(sight("a") != nil && sight("a") == sight("b") && sight("a") != sight("c"))
        for name in ["local", "fifo", "empty", "missing"] { #expect(sight(name) == nil) }
        let mount = MountInfo(
            id: 1, parent: 0, device: 1, root: "/", mountPoint: folder.at("share"), options: [], propagation: [], type: "nfs4",
            source: "store:/x", superOptions: [])
        #expect(BindSight.of(folder.at("share/in"), mounts: [mount]) == "nfs4 store:/x / /in")
        #expect(BindSight.of(folder.at("local"), mounts: [mount]) == nil)
    }

    @Test func `what is copied isn't asked for as a bind source`() {
        var container = ContainerFacts.sample
        container.binds = [
            .init(source: "/srv/shared", destination: "/a"), .init(source: "/srv/web/conf", destination: "/b"),
            .init(source: "/srv/website", destination: "/c"),
        ]
        let question = container.question(wishes: PreflightWishes(bridge: "br9"))
        #expect(question.bindSources == ["/srv/shared", "/srv/website"])
        #expect(question.bridges == ["br9"] && question.addresses == ["10.77.1.5"] && question.hostPorts.isEmpty)
        #expect(question.namespacePath == "/run/netns/web")
        container.network = .host
        #expect(container.question(wishes: PreflightWishes()).hostPorts.count == 1)
    }

    @Test func `every code has its row in the documentation`() throws {
        let rules = Self.hosts + Self.containers + Self.places + Self.networks
        let documentation = try documentationText()
        for code in Set(rules.flatMap(\.expected)) {
            #expect(documentation.contains("| `\(code)` |"), "docs/preflight.md lacks \(code)")
        }
    }
}
