import Testing

extension Tag {
    /// Needs root.
    @Tag static var root: Self
    /// Takes more than some seconds.
    @Tag static var slow: Self
}
