public import Model

extension MigrationID {
    /// A new name from the system's random number generator.
    public static func random() -> MigrationID {
        MigrationID(bytes: (0..<16).map { _ in UInt8.random(in: .min ... .max) })!
    }

    /// Reads the form of `description`; nil for anything else.
    public init?(_ text: String) { self.init(rawValue: text) }
}
