/// What went wrong with certificates on this host's disk.
public enum CertificateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Files that a host needs are not there.
    case missing(directory: String, files: [String])
    /// `certs init` does not replace an authority: every certificate issued by it would become void.
    case authorityExists(path: String)
    case unreadable(path: String, why: String)
    case unwritable(path: String, why: String)
    /// Not what the file's name promises.
    case malformed(path: String, why: String)
    case badName(String)
    case badAddress(String)
    /// This host's own certificate will not be accepted anywhere.
    case unusable(path: String, CertificateProblem)
    /// The key file does not belong to the certificate.
    case keyMismatch(directory: String)
    /// The library refused; should not happen.
    case library(String)

    public var description: String {
        switch self {
        case .missing(let directory, let files): "no \(files.joined(separator: ", ")) in \(directory)"
        case .authorityExists(let path): "\(path) exists; a new authority would void every certificate issued by it"
        case .unreadable(let path, let why): "cannot read \(path): \(why)"
        case .unwritable(let path, let why): "cannot write \(path): \(why)"
        case .malformed(let path, let why): "\(path) is not what it should be: \(why)"
        case .badName(let name): "\"\(name)\" is no host name: letters, digits, dots and hyphens, 253 at most"
        case .badAddress(let address): "\"\(address)\" is no IP address"
        case .unusable(let path, let problem): "\(path): \(problem)"
        case .keyMismatch(let directory): "host.key in \(directory) does not belong to host.pem"
        case .library(let why): "certificate library: \(why)"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .missing, .keyMismatch, .unusable:
            "issue a certificate where the authority is (martlet certs issue NAME --address IP --out DIR) and copy it here"
        case .authorityExists: "name another directory, or remove the old authority if no host uses it"
        case .unreadable, .unwritable: "check the path and the rights of its folder"
        case .malformed: "restore the file or issue it again"
        case .badName, .badAddress: "correct the argument"
        case .library: "report a bug"
        }
    }
}

/// What makes a certificate unacceptable, this host's or the peer's.
public enum CertificateProblem: Error, Equatable, Sendable, CustomStringConvertible {
    case missing
    /// Seconds since 1970.
    case expired(at: Int)
    /// Seconds since 1970.
    case notYetValid(from: Int)
    case wrongAuthority(issuer: String)
    case wrongName(dialled: String, bears: [String])
    case wrongUsage
    case malformed(String)

    public var description: String {
        switch self {
        case .missing: "no certificate was shown"
        case .expired(let at): "the certificate expired on \(utcText(at))"
        case .notYetValid(let from): "the certificate is valid from \(utcText(from)) on only"
        case .wrongAuthority(let issuer): "the certificate was issued by another authority (\(issuer))"
        case .wrongName(let dialled, let bears):
            "the certificate is for \(bears.joined(separator: ", ")), not for \(dialled)"
        case .wrongUsage: "the certificate is not one for a Martlet host (server and client usage)"
        case .malformed(let why): "the certificate is malformed: \(why)"
        }
    }

    /// What to do about it, where `whose` certificate is meant, such as "its" or "this host's".
    func hint(whose: String) -> String {
        switch self {
        case .wrongAuthority: "both hosts need certificates of one authority: martlet certs issue"
        case .wrongName(let dialled, _):
            "issue \(whose) certificate with that name: martlet certs issue NAME --address \(dialled)"
        case .notYetValid: "compare the two hosts' clocks"
        case .missing, .expired, .wrongUsage, .malformed: "issue \(whose) certificate anew: martlet certs issue"
        }
    }
}
