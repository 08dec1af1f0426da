public import Model

/// A dotted version with up to three numbers, as kernels and programs print them.
public struct DottedVersion: Codable, Sendable, Hashable, Comparable, CustomStringConvertible {
    public var major: Int
    public var minor: Int
    public var patch: Int

    public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Takes the first dotted number in `text`: `Version: 4.2`, `6.18.44-fc`, `runc version 1.1.15+ds1`.
    /// - Returns: nil if there is none.
    public init?(in text: some StringProtocol) {
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" || $0 == "\t" }) {
            let digits = word.drop { !$0.isASCII || !$0.isNumber }.prefix { $0 == "." || ($0.isASCII && $0.isNumber) }
            let parts = digits.split(separator: ".").compactMap { Int($0) }
            guard parts.count >= 2 else { continue }
            self.init(parts[0], parts[1], parts.count > 2 ? parts[2] : 0)
            return
        }
        return nil
    }

    public var description: String { patch == 0 ? "\(major).\(minor)" : "\(major).\(minor).\(patch)" }

    public static func < (a: Self, b: Self) -> Bool {
        (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
    }
}

/// What a host's kernel can do for a migration.
public enum HostFeature: String, Codable, Sendable, Hashable, CaseIterable {
    /// userfaultfd(2): the destination fills memory after the resume.
    case userfaultfd
    /// UFFD_FEATURE_WP_ASYNC (Linux 6.7): the source sees which pages were written.
    case asyncWriteProtect
    /// The PAGEMAP_SCAN ioctl (Linux 6.7).
    case pagemapScan
    /// A cgroup v2 hierarchy, whose freezer holds the container.
    case cgroup2
}

/// A program that the migration runs on a host.
public enum HostProgram: String, Codable, Sendable, Hashable, CaseIterable {
    case rsync, ip, nsenter, criu, runc, nft
}

/// What a host has to spare.
public struct HostRoom: Codable, Sendable, Hashable {
    /// MemAvailable.
    public var memory: ByteCount
    /// Free on the tmpfs that holds an attempt's sockets and images.
    public var volatile: ByteCount
    /// Free on the disk that takes what the memory can't.
    public var durable: ByteCount
    public init(memory: ByteCount, volatile: ByteCount, durable: ByteCount) {
        (self.memory, self.volatile, self.durable) = (memory, volatile, durable)
    }

    /// With what the numbers of a running container may grow until the freeze: a twentieth.
    public static func grown(_ memory: ByteCount) -> ByteCount { ByteCount(memory.rawValue + memory.rawValue / 20) }

    /// Whether images that hold all memory fit on the tmpfs beside the container itself, which exists again (or still) there.
    public func takesImagesInMemory(of memory: ByteCount) -> Bool {
        Self.grown(memory) <= volatile && ByteCount(2 * Self.grown(memory).rawValue) <= self.memory
    }
}

/// What one host is and can do.
public struct HostFacts: Codable, Sendable, Hashable {
    /// How findings call this host.
    public var name: String
    /// `uname -m`.
    public var architecture: String
    public var kernel: DottedVersion
    /// nil: CRIU isn't there or doesn't tell its version.
    public var criu: DottedVersion?
    /// What `criu check` complains of; nil if it is content or wasn't asked.
    public var criuComplaint: String?
    /// Nil if nobody looked.
    public var room: HostRoom?
    /// The `flags` line of /proc/cpuinfo.
    public var processorFlags: Set<String>
    public var processorModel: String
    public var features: Set<HostFeature>
    public var programs: Set<HostProgram>
    /// Names in /sys/kernel/security/lsm; empty if that can't be read.
    public var securityModules: Set<String>

    public init(
        name: String, architecture: String, kernel: DottedVersion, criu: DottedVersion?, processorFlags: Set<String>,
        processorModel: String, features: Set<HostFeature>, programs: Set<HostProgram>, securityModules: Set<String>
    ) {
        self.name = name
        self.architecture = architecture
        self.kernel = kernel
        self.criu = criu
        self.processorFlags = processorFlags
        self.processorModel = processorModel
        self.features = features
        self.programs = programs
        self.securityModules = securityModules
    }
}
