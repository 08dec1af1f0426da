import Testing

extension Tag {
    /// Needs root: ptrace, userfaultfd, mounts, cgroups.
    @Tag static var root: Self
    /// Takes more than a few seconds.
    @Tag static var slow: Self
}
