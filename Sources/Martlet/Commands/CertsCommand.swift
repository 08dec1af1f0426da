import ArgumentParser
import Wire

struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs", abstract: "A private authority and host certificates for mutual TLS.",
        discussion: """
            Make one authority for all your hosts, keep its folder safe, and issue each host a certificate for the name and the \
            addresses under which others dial it. A host reads its own from /etc/martlet.
            """,
        subcommands: [Initialize.self, Issue.self, Show.self])

    struct Initialize: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "init", abstract: "Make a private authority.")

        @Option(help: "Where to put authority.pem and authority.key.")
        var directory: String

        func run() throws {
            try reporting { () throws(CertificateError) in try Certificates.createAuthority(in: directory) }
            Terminal.line("made \(directory)/authority.pem and \(directory)/authority.key (keep the key safe)")
        }
    }

    struct Issue: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "issue", abstract: "Issue a host's certificate.")

        @Argument(help: "The host's name.")
        var name: String

        @Option(help: "The authority's folder.")
        var directory: String

        @Option(help: "Where to put authority.pem, host.pem and host.key; on the host they belong into /etc/martlet.")
        var out: String

        @Option(help: "An IP address under which the host is dialled; may be given several times.")
        var address: [String] = []

        @Option(help: ArgumentHelp("How long it is valid.", valueName: "days"))
        var days: Int?

        func run() throws {
            try reporting { () throws(CertificateError) in
                try Certificates.issue(
                    name: name, addresses: address, authority: directory, output: out,
                    validity: days.map(Validity.days) ?? Certificates.defaultHostValidity)
            }
            Terminal.line("made \(out)/host.pem and \(out)/host.key for \(([name] + address).joined(separator: ", "))")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "Say what a certificate says.")

        @Argument(help: "A file such as /etc/martlet/host.pem.")
        var file: String

        func run() throws {
            var text = ""
            try reporting { () throws(CertificateError) in text = try CertificateDescription.read(file).text }
            Terminal.line(text)
        }
    }
}

private func reporting(_ body: () throws(CertificateError) -> Void) throws {
    do {
        try body()
    } catch {
        Terminal.error("martlet certs: \(error)")
        throw ExitCode(1)
    }
}
