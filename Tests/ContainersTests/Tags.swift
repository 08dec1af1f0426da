import Testing

extension Tag {
    /// Needs to be root.
    @Tag static var root: Self
    /// Runs CRIU.
    @Tag static var criu: Self
    /// Needs lab hosts (`lab/up`).
    @Tag static var lab: Self
    @Tag static var slow: Self
}
