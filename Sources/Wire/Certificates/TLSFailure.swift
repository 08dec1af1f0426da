/// Why TLS could not be established, in words for both sides.
public enum TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What this side found wrong with the peer's certificate.
    case theirs(CertificateProblem)
    /// What the peer's TLS alert says of this side's certificate or handshake.
    case alert(TLSAlert)
    /// Anything else, as the library tells it.
    case other(String)

    public var description: String {
        switch self {
        case .theirs(let problem): "its certificate: \(problem)"
        case .alert(let alert): alert.description
        case .other(let text): text
        }
    }

    public var hint: String {
        switch self {
        case .theirs(let problem): problem.hint(whose: "the peer's")
        case .alert(let alert): alert.hint
        case .other: "check that both hosts run martlet and that nothing else listens on that port"
        }
    }
}

/// The alerts by which a peer refuses (RFC 8446 section 6.2). Their names within the library's error texts are the
/// only form in which it hands them out.
public enum TLSAlert: String, Sendable, CaseIterable, CustomStringConvertible {
    case unknownAuthority = "ALERT_UNKNOWN_CA"
    case certificateExpired = "ALERT_CERTIFICATE_EXPIRED"
    case certificateRequired = "ALERT_CERTIFICATE_REQUIRED"
    case unsupportedCertificate = "ALERT_UNSUPPORTED_CERTIFICATE"
    case certificateRevoked = "ALERT_CERTIFICATE_REVOKED"
    case certificateUnknown = "ALERT_CERTIFICATE_UNKNOWN"
    case badCertificate = "ALERT_BAD_CERTIFICATE"
    case protocolVersion = "ALERT_PROTOCOL_VERSION"
    case accessDenied = "ALERT_ACCESS_DENIED"
    case decryptError = "ALERT_DECRYPT_ERROR"
    case handshakeFailure = "ALERT_HANDSHAKE_FAILURE"

    /// Finds an alert in an error text of the library.
    init?(in text: String) {
        guard let found = Self.allCases.first(where: { text.contains($0.rawValue) }) else { return nil }
        self = found
    }

    public var description: String {
        switch self {
        case .unknownAuthority: "it says that this host's certificate was issued by another authority than its own"
        case .certificateExpired: "it says that this host's certificate has expired or is not yet valid"
        case .certificateRequired: "it asks for a certificate and this host showed none"
        case .unsupportedCertificate: "it says that this host's certificate is of a wrong kind"
        case .certificateRevoked: "it says that this host's certificate was revoked"
        case .certificateUnknown, .badCertificate: "it does not accept this host's certificate"
        case .protocolVersion: "it does not speak TLS 1.3"
        case .accessDenied: "it denies access to this host"
        case .decryptError: "it says that this host's signature is wrong"
        case .handshakeFailure: "it found no common way to talk"
        }
    }

    public var hint: String {
        switch self {
        case .unknownAuthority: "both hosts need certificates of one authority: martlet certs issue"
        case .certificateExpired: "issue this host's certificate anew (martlet certs issue), and compare the two clocks"
        case .certificateRequired, .unsupportedCertificate, .certificateRevoked, .certificateUnknown, .badCertificate,
            .decryptError:
            "issue this host's certificate anew: martlet certs issue"
        case .protocolVersion, .handshakeFailure, .accessDenied: "check that martlet's agent listens on that port"
        }
    }
}
