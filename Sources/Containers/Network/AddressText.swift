import Glibc

/// Internet addresses between text and bytes; inet_pton(3).
enum AddressText {
    static func ipv4(_ text: String) -> [UInt8]? { parse(AF_INET, text, 4) }
    static func ipv6(_ text: String) -> [UInt8]? { parse(AF_INET6, text, 16) }

    private static func parse(_ family: Int32, _ text: String, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }

    /// - Parameter bytes: 4 or 16, in network order.
    static func show(_ bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 64)
        guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, 64) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
