// Numbers on the wire are little-endian: both ends are x86-64, so that reading one is a plain load.

extension UnsafeRawBufferPointer {
    /// The number at `offset`, which need not be aligned. The caller has checked the length.
    func littleEndian<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as: Number.Type) -> Number {
        Number(littleEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// The bytes from `offset` on.
    func dropping(_ offset: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[offset...]) }

    /// The first `length` bytes.
    func taking(_ length: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[..<length]) }
}

extension UnsafeMutableRawBufferPointer {
    /// Copies `bytes` to `offset` and behind. The caller has checked the length.
    func place(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        UnsafeMutableRawBufferPointer(rebasing: self[offset...]).copyMemory(from: bytes)
    }

    /// Stores a number at `offset`, which need not be aligned. The caller has checked the length.
    func storeLittleEndian<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
        storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
    }
}

/// At most the first 16 bytes in hexadecimal, for messages that say what came.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.prefix(16).map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined(separator: " ")
}
