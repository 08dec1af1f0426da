import Testing

extension Tag {
    /// Needs root and the kernel's userfaultfd.
    @Tag static var root: Self
    /// Takes seconds.
    @Tag static var slow: Self
}
