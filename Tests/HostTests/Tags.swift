import Testing

extension Tag {
    /// Needs root.
    @Tag static var root: Self
}
