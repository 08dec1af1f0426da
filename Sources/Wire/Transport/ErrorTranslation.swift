import NIOCore
import NIOSSL
import SwiftASN1
import X509

/// Gives an error of the transport the form of this room.
/// - Parameter shown: the peer's certificate, if it showed one: the library says only that it was not accepted.
func translate(
    _ error: any Error, peer: String, credentials: Credentials?, shown: NIOSSLCertificate?, dialled: String?
) -> WireError {
    if let error = error as? WireError { return error }
    if let error = error as? IOError { return .lost(peer: peer, why: errorText(error.errnoCode)) }
    let text = "\(error)"
    if let alert = TLSAlert(in: text) { return .tls(peer: peer, .alert(alert)) }
    if text.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE") { return .tls(peer: peer, .theirs(.missing)) }
    if text.contains("CERTIFICATE_VERIFY_FAILED"), let credentials, let shown {
        return .tls(peer: peer, .theirs(problem(of: shown, credentials, dialled)))
    }
    if text.contains("EOF during handshake") || text.contains("eofDuringHandshake") {
        return .lost(peer: peer, why: "the other side closed it during the TLS handshake")
    }
    if case .uncleanShutdown? = error as? NIOSSLError { return .lost(peer: peer, why: "it ended without a goodbye") }
    if error is NIOSSLCloseTimedOutError { return .lost(peer: peer, why: "the other side did not close it in time") }
    if let error = error as? ChannelError, error == .eof || error == .inputClosed || error == .ioOnClosedChannel {
        return .lost(peer: peer, why: "the other side closed it")
    }
    return .tls(peer: peer, .other(text))
}

/// What is wrong with a certificate that the library did not accept, or nil-like words when we find nothing.
private func problem(of shown: NIOSSLCertificate, _ credentials: Credentials, _ dialled: String?) -> CertificateProblem {
    guard let certificate = x509(shown) else { return .malformed("not readable") }
    return judge(certificate, authority: credentials.authority, dialled: dialled)
        ?? .malformed("the TLS library does not accept it")
}

func x509(_ certificate: NIOSSLCertificate) -> Certificate? {
    guard let bytes = try? certificate.toDERBytes() else { return nil }
    return try? Certificate(derEncoded: bytes)
}
