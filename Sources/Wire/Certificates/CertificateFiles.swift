import Glibc
import SwiftASN1
import X509

/// The files of an authority and of a host. Private keys are readable by their owner only.
enum CertificateFiles {
    static let authority = "authority.pem"
    static let authorityKey = "authority.key"
    static let host = "host.pem"
    static let hostKey = "host.key"
    /// A PEM file of one certificate or key is below 4 KiB; anything much larger is another file.
    static let sizeLimit = 64 << 10

    static func certificate(_ path: String) throws(CertificateError) -> Certificate {
        let text = try read(path)
        do {
            return try Certificate(pemEncoded: text)
        } catch {
            throw .malformed(path: path, why: "no certificate in PEM form (\(error))")
        }
    }

    static func key(_ path: String) throws(CertificateError) -> Certificate.PrivateKey {
        let text = try read(path)
        do {
            return try Certificate.PrivateKey(pemEncoded: text)
        } catch {
            throw .malformed(path: path, why: "no private key in PEM form (\(error))")
        }
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func read(_ path: String) throws(CertificateError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, why: errorText()) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw .unreadable(path: path, why: errorText())
            }
            bytes += piece[..<count]
            guard bytes.count <= sizeLimit else { throw .malformed(path: path, why: "more than \(sizeLimit) bytes") }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func makeDirectory(_ path: String) throws(CertificateError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .unwritable(path: path, why: errorText()) }
    }

    /// Writes a whole file: readers see the old content or the new one, never a part.
    /// - Parameter isPrivate: readable by the owner only, from the first moment on.
    /// - Parameter replacing: otherwise an existing file is an error and stays as it is.
    static func write(_ text: String, to path: String, isPrivate: Bool, replacing: Bool) throws(CertificateError) {
        let draft = "\(path).\(getpid()).new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, isPrivate ? 0o600 : 0o644)
        guard descriptor >= 0 else { throw .unwritable(path: path, why: errorText()) }
        defer { unlink(draft) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let why = errorText()
                close(descriptor)
                throw .unwritable(path: path, why: why)
            }
            bytes = bytes.dropFirst(count)
        }
        let synced = fsync(descriptor)
        guard close(descriptor) == 0, synced == 0 else { throw .unwritable(path: path, why: errorText()) }
        // link(2) fails where the name is taken, rename(2) takes its place.
        guard (replacing ? rename(draft, path) : link(draft, path)) == 0 else {
            throw errno == EEXIST ? .authorityExists(path: path) : .unwritable(path: path, why: errorText())
        }
    }
}

/// The text of the current `errno`.
func errorText(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }
