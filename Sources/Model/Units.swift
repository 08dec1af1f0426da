/// A number of bytes.
public struct ByteCount: RawRepresentable, Hashable, Comparable, Sendable, Codable, AdditiveArithmetic {
    public var rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public init(_ value: Int) { rawValue = value }
    public static let zero = ByteCount(0)
    public static func kibibytes(_ n: Int) -> ByteCount { ByteCount(n << 10) }
    public static func mebibytes(_ n: Int) -> ByteCount { ByteCount(n << 20) }
    public static func gibibytes(_ n: Int) -> ByteCount { ByteCount(n << 30) }
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public static func + (a: Self, b: Self) -> Self { ByteCount(a.rawValue + b.rawValue) }
    public static func - (a: Self, b: Self) -> Self { ByteCount(a.rawValue - b.rawValue) }
}

/// A number of memory pages.
public struct PageCount: RawRepresentable, Hashable, Comparable, Sendable, Codable, AdditiveArithmetic {
    public var rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }
    public init(_ value: Int) { rawValue = value }
    public static let zero = PageCount(0)
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public static func + (a: Self, b: Self) -> Self { PageCount(a.rawValue + b.rawValue) }
    public static func - (a: Self, b: Self) -> Self { PageCount(a.rawValue - b.rawValue) }
}
