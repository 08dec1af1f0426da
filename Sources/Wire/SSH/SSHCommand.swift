import Glibc
import Host

/// How `ssh` is called. Keys, known hosts, ports, proxies and ciphers are its configuration's; what is set here says only that
/// nobody is there to be asked and that a connection carries nothing but ours.
struct SSHCommand: Equatable, Sendable {
    var address: SSHAddress
    /// Ask for AES-GCM before what is first in OpenSSH's own list; see `probe`.
    var prefersGCM = false

    /// Each connection is an ssh of its own, so that each has a cipher's thread and a TCP connection of its own. Hence no shared master.
    /// A peer that is gone is noticed as soon as over TLS (`ConnectionOptions.userTimeout`).
    private static let settings = [
        "BatchMode=yes", "ControlMaster=no", "ControlPath=none", "ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no",
        "PermitLocalCommand=no", "RemoteCommand=none", "ServerAliveInterval=10", "ServerAliveCountMax=3",
    ]

    /// The words behind `ssh`.
    func arguments(_ script: String) -> [String] {
        var words = ["-T"] + Self.settings.flatMap { ["-o", $0] }
        if prefersGCM { words += ["-o", "Ciphers=^aes128-gcm@openssh.com"] }
        // For root's shell, whichever that is: only the quotes have to mean the same to it.
        return words + target + ["exec sh -c '\(script)'"]
    }

    private var target: [String] {
        (address.port.map { ["-p", "\($0)"] } ?? []) + (address.user.map { ["-l", $0] } ?? []) + ["--", address.host]
    }

    /// Becomes martlet there: the copy of this very program if one was brought, else the one that is installed.
    /// - Parameter copy: folder of such a copy.
    static func joining(copy: String) -> String {
        """
        PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; export PATH; \
        if [ -x "\(copy)/martlet" ]; then exec "\(copy)/martlet" \(subcommand); fi; \
        if command -v martlet >/dev/null 2>&1; then exec martlet \(subcommand); fi; \
        echo "martlet: not found" >&2; exit \(SSHFailure.notFoundCode)
        """
    }

    static let subcommand = "internal-ssh"

    /// Asks ssh's configuration for the ciphers. With those that OpenSSH has by itself AES-GCM goes first: .56 instead of .46 GB/s a
    /// stream where it was measured. A list that somebody chose stays as it is.
    static func probe(_ address: SSHAddress) -> SSHCommand {
        let plain = SSHCommand(address: address)
        func ciphers(_ words: [String]) -> Substring? {
            guard let run = try? Spawn.run("ssh", ["-G"] + words + plain.target, timeout: .seconds(5)), run.status.isSuccess
            else {
                return nil
            }
            return run.outputText.split(separator: "\n").first { $0.hasPrefix("ciphers ") }
        }
        guard let chosen = ciphers([]), chosen == ciphers(["-F", "none"]) else { return plain }
        return SSHCommand(address: address, prefersGCM: true)
    }
}
