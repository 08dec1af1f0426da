/// A request to `criu swrk` (`criu_req`).
public enum CriuRequest: Hashable, Sendable {
    case dump(CriuOptions)
    case restore(CriuOptions)
    case version
    case checkFeatures(memoryTracking: Bool, lazyPages: Bool)
    /// Answer to a notification: go on, or give up and undo.
    case verdict(success: Bool)

    /// `criu_req_type`
    private enum Kind: UInt64 { case dump = 1, restore = 2, notify = 6, featureCheck = 9, version = 10 }

    public func encoded() -> [UInt8] {
        var w = ProtobufWriter()
        switch self {
        case .dump(let options):
            w.field(1, Kind.dump.rawValue)
            w.field(2, bytes: options.encoded())
        case .restore(let options):
            w.field(1, Kind.restore.rawValue)
            w.field(2, bytes: options.encoded())
        case .version:
            w.field(1, Kind.version.rawValue)
        case .checkFeatures(let memoryTracking, let lazyPages):
            w.field(1, Kind.featureCheck.rawValue)
            w.field(5) { features in
                if memoryTracking { features.field(1, true) }
                if lazyPages { features.field(2, true) }
            }
        case .verdict(let success):
            w.field(1, Kind.notify.rawValue)
            w.field(3, success)
        }
        return w.bytes
    }
}

/// CRIU's version as it tells it.
public struct CriuVersion: Hashable, Comparable, Sendable, CustomStringConvertible, Codable {
    public var major: Int
    public var minor: Int
    public var sublevel: Int
    public init(_ major: Int, _ minor: Int, _ sublevel: Int = 0) {
        (self.major, self.minor, self.sublevel) = (major, minor, sublevel)
    }
    public var description: String { sublevel == 0 ? "\(major).\(minor)" : "\(major).\(minor).\(sublevel)" }
    public static func < (a: Self, b: Self) -> Bool { (a.major, a.minor, a.sublevel) < (b.major, b.minor, b.sublevel) }
}

/// A message from `criu swrk` (`criu_resp`).
public struct CriuResponse: Hashable, Sendable {
    public enum Kind: UInt64, Sendable {
        case empty = 0, dump, restore, check, preDump, pageServer, notify, cpuInfoDump, cpuInfoCheck, featureCheck, version,
            waitPID
    }

    public var kind = Kind.empty
    public var success = false
    /// CRIU's error number: an errno where it knows one (EBADRQC is a bad request).
    public var errorNumber: Int32 = 0
    /// The first error of CRIU's log.
    public var errorMessage = ""
    /// A notification's name: `pre-dump`, `post-dump`, `network-lock`...
    public var script = ""
    /// The restored tree's first process, in our numbering.
    public var pid: Int32 = 0
    public var version: CriuVersion?
    public var hasMemoryTracking = false
    public var hasLazyPages = false

    public init() {}

    /// Decodes a message. Unknown fields are passed over.
    init(_ bytes: [UInt8]) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: kind = field.unsigned.flatMap(Kind.init) ?? .empty
            case 2: success = field.bool ?? false
            case 4: if let inner = field.bytes { pid = try Self.number(1, in: inner) ?? 0 }
            case 5: if let inner = field.bytes { try readNotification(inner) }
            case 7: errorNumber = field.int32 ?? 0
            case 8: if let inner = field.bytes { try readFeatures(inner) }
            case 9: errorMessage = field.string ?? ""
            case 10: if let inner = field.bytes { version = try Self.version(inner) }
            default: break
            }
        }
    }

    private static func number(_ number: Int, in bytes: ArraySlice<UInt8>) throws(ProtobufError) -> Int32? {
        var reader = ProtobufReader(bytes), value: Int32?
        while let field = try reader.next() { if field.number == number { value = field.int32 } }
        return value
    }

    private mutating func readNotification(_ bytes: ArraySlice<UInt8>) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            if field.number == 1 { script = field.string ?? "" }
            if field.number == 2 { pid = field.int32 ?? 0 }
        }
    }

    private mutating func readFeatures(_ bytes: ArraySlice<UInt8>) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            if field.number == 1 { hasMemoryTracking = field.bool ?? false }
            if field.number == 2 { hasLazyPages = field.bool ?? false }
        }
    }

    private static func version(_ bytes: ArraySlice<UInt8>) throws(ProtobufError) -> CriuVersion {
        var reader = ProtobufReader(bytes), version = CriuVersion(0, 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: version.major = Int(field.int32 ?? 0)
            case 2: version.minor = Int(field.int32 ?? 0)
            case 4: version.sublevel = Int(field.int32 ?? 0)
            default: break
            }
        }
        return version
    }
}
