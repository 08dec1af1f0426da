import FoundationEssentials
import NIOCore
import NIOSSL
import SwiftASN1
import X509

/// What this host shows to others and by what it judges them: authority.pem, host.pem and host.key of one folder.
/// TLS 1.3 only, both sides show a certificate of the same private authority.
public struct Credentials: Sendable {
    public static let defaultDirectory = "/etc/martlet"

    /// What this host's own certificate says.
    public let own: CertificateDescription
    let authority: Certificate
    let client: NIOSSLContext
    let server: NIOSSLContext

    /// Loads and checks the three files, so that a host with a useless certificate learns it here and not by a peer.
    public init(directory: String = defaultDirectory) throws(CertificateError) {
        try self.init(directory: directory, checkingOwn: true)
    }

    /// - Parameter checkingOwn: false for tests of what the peer says to a bad certificate.
    init(directory: String, checkingOwn: Bool) throws(CertificateError) {
        let names = [CertificateFiles.authority, CertificateFiles.host, CertificateFiles.hostKey]
        let missing = names.filter { !CertificateFiles.exists("\(directory)/\($0)") }
        guard missing.isEmpty else { throw .missing(directory: directory, files: missing) }
        let hostPath = "\(directory)/\(CertificateFiles.host)"
        let authority = try CertificateFiles.certificate("\(directory)/\(CertificateFiles.authority)")
        let certificate = try CertificateFiles.certificate(hostPath)
        let key = try CertificateFiles.key("\(directory)/\(CertificateFiles.hostKey)")
        guard key.publicKey == certificate.publicKey else { throw .keyMismatch(directory: directory) }
        if checkingOwn, let problem = judge(certificate, authority: authority, dialled: nil) {
            throw .unusable(path: hostPath, problem)
        }
        self.authority = authority
        own = CertificateDescription(certificate)
        do {
            client = try NIOSSLContext(configuration: Self.clientConfiguration(authority, certificate, key))
            server = try NIOSSLContext(configuration: Self.serverConfiguration(authority, certificate, key))
        } catch {
            throw .library("\(error)")
        }
    }

    /// A client that shows no certificate, for tests.
    init(withoutCertificateOf other: Credentials) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        try Self.apply(other.authority, to: &configuration)
        (authority, own, server) = (other.authority, other.own, other.server)
        client = try NIOSSLContext(configuration: configuration)
    }

    private static func clientConfiguration(
        _ authority: Certificate, _ certificate: Certificate, _ key: Certificate.PrivateKey
    ) throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = [.certificate(try nio(certificate))]
        configuration.privateKey = .privateKey(try nio(key))
        try apply(authority, to: &configuration)
        return configuration
    }

    private static func serverConfiguration(
        _ authority: Certificate, _ certificate: Certificate, _ key: Certificate.PrivateKey
    ) throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try nio(certificate))], privateKey: .privateKey(try nio(key)))
        try apply(authority, to: &configuration)
        return configuration
    }

    /// The library checks chain and validity, so that the peer gets an alert that tells which of them was wrong;
    /// name and usage are checked by `judge` right after the handshake, before the hello.
    private static func apply(_ authority: Certificate, to configuration: inout TLSConfiguration) throws {
        configuration.trustRoots = .certificates([try nio(authority)])
        configuration.certificateVerification = .noHostnameVerification
        configuration.minimumTLSVersion = .tlsv13
        configuration.maximumTLSVersion = .tlsv13
        // How long a close waits, in the background, for the peer's goodbye. A peer that is busy sending needs a
        // while to see ours; cut off earlier, its connection is reset and it never reads why.
        configuration.shutdownTimeout = .seconds(5)
    }

    private static func nio(_ certificate: Certificate) throws -> NIOSSLCertificate {
        try NIOSSLCertificate(bytes: certificate.serializeAsPEM().derBytes, format: .der)
    }

    private static func nio(_ key: Certificate.PrivateKey) throws -> NIOSSLPrivateKey {
        try NIOSSLPrivateKey(bytes: Array(key.serializeAsPEM().pemString.utf8), format: .pem)
    }
}

/// What is wrong with a host's certificate, if anything.
/// - Parameters:
///   - dialled: the name or address that it must bear, for the dialling side.
func judge(_ certificate: Certificate, authority: Certificate, dialled: String?) -> CertificateProblem? {
    let description = CertificateDescription(certificate)
    guard certificate.issuer == authority.subject, authority.publicKey.isValidSignature(certificate.signature, for: certificate)
    else { return .wrongAuthority(issuer: description.issuer) }
    let now = Int(Date.now.timeIntervalSince1970)
    if description.validUntil < now { return .expired(at: description.validUntil) }
    if description.validFrom > now { return .notYetValid(from: description.validFrom) }
    if description.isAuthority || !description.hasHostUsage { return .wrongUsage }
    if let dialled, !description.bears(dialled) {
        return .wrongName(dialled: dialled, bears: description.names + description.addresses)
    }
    return nil
}
