public import Host

/// Why a set of CRIU images must not be given to CRIU. They come from a peer, and CRIU trusts them: a truncated
/// pages-1.img makes 4.2.1 loop for ever and write gigabytes of log.
public enum ImageError: Error, Hashable, CustomStringConvertible {
    case system(SystemError)
    case missing(String)
    case malformed(name: String, why: String)
    /// A pages file whose length isn't what its page map says, in bytes.
    case wrongLength(name: String, actual: Int, expected: Int)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .missing(let name): "the images lack \(name)"
        case .malformed(let name, let why): "image \(name) is damaged: \(why)"
        case .wrongLength(let name, let actual, let expected): "image \(name) has \(actual) bytes, its page map says \(expected)"
        }
    }
}
