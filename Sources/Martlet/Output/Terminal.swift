import Glibc
import Host
import Migration

/// Writing to the standard streams, whole lines at a time and without buffering, so that a reader of a pipe sees each
/// line when it is said.
enum Terminal {
    static func line(_ text: String) { write(text + "\n", to: 1) }
    static func error(_ text: String) { write(text + "\n", to: 2) }
    static func raw(_ text: String, to descriptor: Int32) { write(text, to: descriptor) }

    static let errorIsTerminal = isatty(2) == 1
    static let outputIsTerminal = isatty(1) == 1
    static let inputIsTerminal = isatty(0) == 1

    /// Columns; 80 where the terminal doesn't say (a serial line). Asked each time: windows change.
    static func width(of descriptor: Int32) -> Int {
        TerminalSize.columns(of: descriptor) ?? 80
    }

    private static func write(_ text: String, to descriptor: Int32) {
        // Somebody who closed our output must not stop a migration.
        try? writeBytes(Array(text.utf8), to: descriptor, name: "standard output")
    }
}
