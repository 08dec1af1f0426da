import CLinux

/// The size of a terminal; ioctl_tty(2), TIOCGWINSZ.
public enum TerminalSize {
    /// Columns of the terminal at a descriptor, as of now; nil if it is none or doesn't say (a serial line).
    public static func columns(of descriptor: Int32) -> Int? {
        let columns = linux_terminal_columns(descriptor)
        return columns > 0 ? Int(columns) : nil
    }
}
