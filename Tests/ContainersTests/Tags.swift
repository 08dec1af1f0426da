import Glibc
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

extension Trait where Self == ConditionTrait {
    /// Prints figures and asserts none: only for those who look at them.
    static var figures: Self { .enabled(if: getenv("MARTLET_FIGURES") != nil, "MARTLET_FIGURES=1 asks for measurements") }
}
