import Glibc

/// Reads one byte. Returns 1, 0 at the end, -1 on an error.
func readByte(_ descriptor: Int32, _ byte: inout UInt8) -> Int { read(descriptor, &byte, 1) }
