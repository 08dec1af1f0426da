import Glibc
public import Host

// The plain-text start of a connection, on a raw socket before anything else reads from it.

/// A peer that is gone is an error here, not a signal that ends the program.
private let noSignal = Int32(MSG_NOSIGNAL)

extension Preamble {
    /// Reads the preamble of a connection that was just accepted, exactly 32 bytes: what follows belongs to TLS.
    /// A peer that sends something else is answered with a refusal.
    /// - Parameters:
    ///   - descriptor: the accepted socket, blocking or not; borrowed.
    ///   - timeout: for all 32 bytes. A peer that is too slow gets no answer.
    /// - Throws: `preamble`, `timedOut`, `lost` or `system`. The caller closes the socket then.
    public static func receive(
        on descriptor: borrowing OwnedDescriptor, timeout: Duration = .seconds(5)
    ) throws(WireError) -> Preamble {
        let peer = TCPSocket.peerText(descriptor)
        let deadline = MonotonicInstant.now + timeout
        var bytes: [UInt8] = []
        while bytes.count < byteCount {
            guard try wait(descriptor, .input, deadline) else {
                throw .timedOut(peer: peer, stage: .hello, seconds: timeout.inSeconds)
            }
            var piece = [UInt8](repeating: 0, count: byteCount - bytes.count)
            let count = read(descriptor.raw, &piece, piece.count)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count > 0 else { throw .lost(peer: peer, why: count == 0 ? "closed before its preamble" : errorText()) }
            bytes += piece[..<count]
        }
        do {
            return try Preamble(decoding: bytes)
        } catch {
            error.refusal.send(on: descriptor)
            throw .preamble(peer: peer, error)
        }
    }

    /// Sends the preamble on a socket that was just connected.
    func send(on descriptor: borrowing OwnedDescriptor, peer: String, version: UInt16) throws(WireError) {
        // 32 bytes always fit into the empty send buffer of a new connection.
        guard Glibc.send(descriptor.raw, encoded(version: version), Self.byteCount, noSignal) == Self.byteCount else {
            throw .lost(peer: peer, why: errorText())
        }
    }

    private static func wait(
        _ descriptor: borrowing OwnedDescriptor, _ events: Poll.Events, _ deadline: MonotonicInstant
    ) throws(WireError) -> Bool {
        do {
            return try !Poll.wait(descriptor.raw, for: events, until: deadline).isEmpty
        } catch {
            throw .system(operation: "waiting for a preamble", why: error.description)
        }
    }
}

extension Refusal {
    /// Sends this in plain text and takes what the peer has sent meanwhile, so that closing the socket afterwards
    /// does not reset the connection before the peer has read why. Takes at most half a second; the caller closes.
    public func send(on descriptor: borrowing OwnedDescriptor) {
        guard Glibc.send(descriptor.raw, encoded, Preamble.byteCount, noSignal) == Preamble.byteCount else { return }
        shutdown(descriptor.raw, Int32(SHUT_WR))
        let deadline = MonotonicInstant.now + .milliseconds(500)
        var piece = [UInt8](repeating: 0, count: 4096)
        while let events = try? Poll.wait(descriptor.raw, for: .input, until: deadline), !events.isEmpty {
            let count = recv(descriptor.raw, &piece, piece.count, Int32(MSG_DONTWAIT))
            if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { return }
        }
    }
}
