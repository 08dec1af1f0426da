import FoundationEssentials
import Glibc
import SwiftASN1
import X509

/// What a certificate says, for `martlet certs show` and for checks.
public struct CertificateDescription: Equatable, Sendable {
    public var subject: String
    public var issuer: String
    /// Seconds since 1970.
    public var validFrom: Int
    /// Seconds since 1970.
    public var validUntil: Int
    /// DNS names that it bears.
    public var names: [String]
    /// IP addresses that it bears, in their usual text form.
    public var addresses: [String]
    public var isAuthority: Bool
    /// Made for a Martlet host: server and client usage.
    public var hasHostUsage: Bool

    /// Reads a PEM file such as host.pem or authority.pem.
    public static func read(_ path: String) throws(CertificateError) -> CertificateDescription {
        CertificateDescription(try CertificateFiles.certificate(path))
    }

    /// Expiry with a day's precision is enough for people; the exact times are in the properties.
    public var text: String {
        let bears = names.map { "DNS " + $0 } + addresses.map { "IP " + $0 }
        return """
            subject:   \(subject)
            issuer:    \(issuer)
            valid:     \(utcText(validFrom)) to \(utcText(validUntil))
            kind:      \(isAuthority ? "authority" : hasHostUsage ? "host" : "other")
            names:     \(bears.isEmpty ? "none" : bears.joined(separator: ", "))
            """
    }

    init(_ certificate: Certificate) {
        subject = certificate.subject.commonName ?? certificate.subject.description
        issuer = certificate.issuer.commonName ?? certificate.issuer.description
        validFrom = Int(certificate.notValidBefore.timeIntervalSince1970)
        validUntil = Int(certificate.notValidAfter.timeIntervalSince1970)
        let extensions = certificate.extensions
        names = []
        addresses = []
        for name in (try? extensions.subjectAlternativeNames) ?? SubjectAlternativeNames() {
            switch name {
            case .dnsName(let dns): names.append(dns)
            case .ipAddress(let octets): if let address = IPAddress(bytes: Array(octets.bytes)) { addresses.append(address.text) }
            default: break
            }
        }
        let constraints = try? extensions.basicConstraints
        isAuthority = if case .isCertificateAuthority = constraints { true } else { false }
        let usage = try? extensions.extendedKeyUsage
        hasHostUsage = usage.map { $0.contains(.serverAuth) && $0.contains(.clientAuth) } ?? false
    }

    /// True when it bears `host`, a DNS name (compared without case) or an IP address.
    public func bears(_ host: String) -> Bool {
        if let address = IPAddress(host) { return addresses.contains(address.text) }
        return names.contains { $0.lowercased() == host.lowercased() }
    }
}

extension DistinguishedName {
    /// The common name alone, when there is one.
    var commonName: String? {
        for part in self {
            for attribute in part where attribute.type == .RDNAttributeType.commonName {
                return String(attribute.value)
            }
        }
        return nil
    }
}

/// A moment in UTC to the minute.
/// - Parameter seconds: since 1970.
func utcText(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = tm()
    guard gmtime_r(&time, &parts) != nil else { return "second \(seconds)" }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min)) UTC"
}
