import Glibc
public import Host

/// Reads one byte. Returns 1, 0 at the end, -1 on an error.
func readByte(_ descriptor: Int32, _ byte: inout UInt8) -> Int { read(descriptor, &byte, 1) }

/// Writes all bytes. A name of their own for the bytes: a span of a temporary crashes Swift 6.3.1's optimizer.
public func writeBytes(_ bytes: [UInt8], to descriptor: Int32, name: String) throws(SystemError) {
    try FileIO.writeAll(bytes.span.bytes, to: descriptor, name: name)
}
