import Glibc
import Host

/// Turns the `-errno` of a shim into an error that says what was tried.
@discardableResult @inline(__always)
func systemCall(_ call: String, _ subject: @autoclosure () -> String, _ result: Int) throws(SystemError) -> Int {
    if result < 0 { throw SystemError(call: call, subject: subject(), errno: Int32(-result)) }
    return result
}

/// Maps a whole file MAP_SHARED. Pages of it that are not allocated yet may be mapped, but must not be touched.
func mapShared(_ descriptor: Int32, length: Int, writable: Bool, _ subject: String) throws(SystemError) -> UnsafeMutableRawPointer
{
    let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
    guard let address = mmap(nil, length, protection, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
        throw SystemError(call: "mmap", subject: subject, errno: errno)
    }
    return address
}
