import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// From when until when a certificate is valid, in seconds from now. Negative times make an expired one for tests.
public struct Validity: Equatable, Sendable {
    public var fromSeconds: Int
    public var untilSeconds: Int

    /// - Parameter fromSeconds: five minutes back by default, since two hosts' clocks differ.
    public init(fromSeconds: Int = -300, untilSeconds: Int) {
        self.fromSeconds = fromSeconds
        self.untilSeconds = untilSeconds
    }

    public static func days(_ days: Int) -> Validity { Validity(untilSeconds: days * 86_400) }

    var from: Date { Date(timeIntervalSinceNow: Double(fromSeconds)) }
    var until: Date { Date(timeIntervalSinceNow: Double(untilSeconds)) }
}

/// A private authority and the certificates of hosts: what stands behind `martlet certs`. ECDSA on P-256, no
/// external program. A private network needs no revocation lists: to shut a host out, make a new authority.
public enum Certificates {
    public static let defaultAuthorityValidity = Validity.days(3650)
    public static let defaultHostValidity = Validity.days(825)

    /// `martlet certs init`: makes authority.pem and authority.key (mode 0600) in `directory`, which is made if missing.
    /// - Parameter name: what `show` says of it, followed by a random number.
    /// - Throws: `authorityExists` when one of them is there; nothing is changed then.
    public static func createAuthority(
        in directory: String, name: String = "martlet authority", validity: Validity = defaultAuthorityValidity
    ) throws(CertificateError) {
        let certificatePath = "\(directory)/\(CertificateFiles.authority)"
        let keyPath = "\(directory)/\(CertificateFiles.authorityKey)"
        for path in [certificatePath, keyPath] where CertificateFiles.exists(path) { throw .authorityExists(path: path) }
        let (certificate, key) = try library { try makeAuthority(name: name, validity: validity) }
        try CertificateFiles.makeDirectory(directory)
        try CertificateFiles.write(key, to: keyPath, isPrivate: true, replacing: false)
        try CertificateFiles.write(certificate, to: certificatePath, isPrivate: false, replacing: false)
    }

    /// `martlet certs issue`: makes a host's authority.pem, host.pem and host.key (mode 0600) in `output`, which is made
    /// if missing; files there are replaced.
    /// - Parameters:
    ///   - name: DNS name that the certificate bears, and its subject.
    ///   - addresses: IP addresses that it bears as well: those under which the host is dialled.
    public static func issue(
        name: String, addresses: [String] = [], authority directory: String, output: String,
        validity: Validity = defaultHostValidity
    ) throws(CertificateError) {
        try checkName(name)
        var alternatives: [GeneralName] = [.dnsName(name)]
        for text in addresses {
            guard let address = IPAddress(text) else { throw .badAddress(text) }
            alternatives.append(.ipAddress(ASN1OctetString(contentBytes: address.bytes[...])))
        }
        let authorityPath = "\(directory)/\(CertificateFiles.authority)"
        let keyPath = "\(directory)/\(CertificateFiles.authorityKey)"
        let missing = [authorityPath, keyPath].filter { !CertificateFiles.exists($0) }
        guard missing.isEmpty else {
            throw .missing(directory: directory, files: [CertificateFiles.authority, CertificateFiles.authorityKey])
        }
        let authority = try CertificateFiles.certificate(authorityPath)
        let authorityKey = try CertificateFiles.key(keyPath)
        let (certificate, key) = try library {
            try makeHost(name, alternatives, authority: authority, authorityKey: authorityKey, validity: validity)
        }
        let authorityText = try CertificateFiles.read(authorityPath)
        try CertificateFiles.makeDirectory(output)
        try CertificateFiles.write(
            authorityText, to: "\(output)/\(CertificateFiles.authority)", isPrivate: false, replacing: true)
        try CertificateFiles.write(key, to: "\(output)/\(CertificateFiles.hostKey)", isPrivate: true, replacing: true)
        try CertificateFiles.write(certificate, to: "\(output)/\(CertificateFiles.host)", isPrivate: false, replacing: true)
    }

    private static func makeAuthority(name: String, validity: Validity) throws -> (certificate: String, key: String) {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        // A name of its own: with two authorities of one name a peer reports a bad signature instead of a foreign authority.
        let mark = String(UInt32.random(in: .min ... .max), radix: 16)
        let subject = try DistinguishedName { CommonName("\(name) \(mark)") }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: key.publicKey,
            notValidBefore: validity.from, notValidAfter: validity.until, issuer: subject, subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: key.publicKey)
            },
            issuerPrivateKey: key)
        return (try certificate.serializeAsPEM().pemString + "\n", try key.serializeAsPEM().pemString + "\n")
    }

    private static func makeHost(
        _ name: String, _ alternatives: [GeneralName], authority: Certificate, authorityKey: Certificate.PrivateKey,
        validity: Validity, usages: [ExtendedKeyUsage.Usage] = [.serverAuth, .clientAuth]
    ) throws -> (certificate: String, key: String) {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: key.publicKey,
            notValidBefore: validity.from, notValidAfter: validity.until,
            issuer: authority.subject, subject: try DistinguishedName { CommonName(name) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage(usages)
                SubjectAlternativeNames(alternatives)
                SubjectKeyIdentifier(hash: key.publicKey)
            },
            issuerPrivateKey: authorityKey)
        return (try certificate.serializeAsPEM().pemString + "\n", try key.serializeAsPEM().pemString + "\n")
    }

    private static func checkName(_ name: String) throws(CertificateError) {
        let allowed = name.utf8.allSatisfy {
            ($0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z"))
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
        }
        guard allowed, !name.isEmpty, name.utf8.count <= 253, !name.hasPrefix("-"), !name.hasPrefix(".") else {
            throw .badName(name)
        }
    }

    private static func library<Value>(_ body: () throws -> Value) throws(CertificateError) -> Value {
        do { return try body() } catch { throw .library("\(error)") }
    }
}
