public import Host

/// Why ssh did not lead to a martlet at the other host.
public enum SSHFailure: Error, Equatable, Sendable {
    /// There is no `ssh` here.
    case notInstalled
    /// ssh's own last words.
    case refused(String)
    /// It was reached, and has no martlet.
    case noProgram
    /// The user there is not root.
    case notRoot(String)
    /// A martlet that does not know what it was asked for.
    case otherVersion(String)
    /// What was started there ended, with its last words.
    case remote(ExitStatus, String)
    case timedOut(seconds: Double, lastWords: String)

    /// What a shell answers when a program is not there.
    static let notFoundCode: Int32 = 127
    /// EX_NOPERM of sysexits.h.
    public static let notRootCode: Int32 = 77
    /// ArgumentParser's, and martlet's own (docs: 2 is bad usage).
    private static let usageCodes: Set<Int32> = [2, 64]
    /// "ssh exits with the exit status of the remote command or with 255 if an error occurred" (ssh(1)).
    private static let sshCode: Int32 = 255

    /// - Parameters:
    ///   - status: ssh's.
    ///   - lines: the last that came on its standard error, its own and the remote program's.
    init(_ status: ExitStatus, lines: [String]) {
        let last = Self.last(lines)
        switch status {
        case .exited(Self.sshCode): self = .refused(last)
        case .exited(Self.notFoundCode): self = .noProgram
        case .exited(Self.notRootCode): self = .notRoot(last)
        case .exited(let code) where Self.usageCodes.contains(code): self = .otherVersion(lines.first ?? "")
        default: self = .remote(status, last)
        }
    }

    /// The last line; of a host key's refusal the one before says which key it is about.
    private static func last(_ lines: [String]) -> String {
        guard let last = lines.last else { return "" }
        guard last.hasPrefix("Host key verification failed"), lines.count > 1 else { return last }
        return "\(lines[lines.count - 2]) \(last)"
    }

    /// What was said or seen.
    var why: String {
        switch self {
        case .notInstalled: "there is no ssh on this host"
        case .refused(let line): line.isEmpty ? "ssh ended without a word" : line
        case .noProgram: "martlet is not installed there"
        case .notRoot(let line): line.isEmpty ? "the user there is not root" : line
        case .otherVersion(let line): "the martlet there is another version" + (line.isEmpty ? "" : ": \(line)")
        case .remote(let status, let line):
            "what ssh started there ended with \(status)" + (line.isEmpty ? "" : ": \(line)")
        case .timedOut(let seconds, let line):
            "no answer within \(seconds) s" + (line.isEmpty ? "" : "; ssh said: \(line)")
        }
    }

    /// What to do about it.
    func hint(_ peer: String) -> String {
        let login = (try? SSHAddress(peer))?.words ?? peer
        return switch self {
        case .notInstalled: "install OpenSSH's client (apt install openssh-client)"
        case .refused(let line): Self.hint(line, login)
        case .noProgram: "install it there (scripts/install /usr/local), or let --copy-binary bring this one"
        case .notRoot: "name root in the address (ssh://root@HOST): moving containers needs it"
        case .otherVersion: "install the same version on both hosts, or let --copy-binary bring this one"
        case .remote: "try by hand: ssh \(login) martlet --version"
        case .timedOut: "try by hand: ssh \(login) true"
        }
    }

    private static func hint(_ line: String, _ login: String) -> String {
        if line.contains("Host key verification failed") {
            return "check the host's key and let ssh know it: ssh \(login)"
        }
        if line.contains("Permission denied") || line.contains("authentication") {
            return "let this user's key in there (ssh-copy-id \(login)): nobody is asked for a password here"
        }
        if line.contains("resolve") { return "check the host's name, or give it an address in ~/.ssh/config" }
        if line.contains("refused") || line.contains("timed out") || line.contains("No route") {
            return "check the address and the port, and that sshd runs there"
        }
        return "try by hand: ssh \(login) true"
    }
}
