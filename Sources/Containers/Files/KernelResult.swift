import Host

/// Turns the `-errno` result of a shim into a value or an error.
@discardableResult @inline(__always)
func kernelResult(_ call: StaticString, _ subject: @autoclosure () -> String, _ result: Int) throws(SystemError) -> Int {
    if result < 0 { throw SystemError(call: "\(call)", subject: subject(), errno: Int32(-result)) }
    return result
}
