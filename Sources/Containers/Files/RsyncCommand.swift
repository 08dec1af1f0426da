import Host

/// rsync's argument lists, for both sides. 3.2 or newer (Debian 11 has 3.2.3).
///
/// The source runs the client, which pushes; the destination runs `rsync --server`. The client would like to tell the
/// server its arguments; it does so to the *remote shell*, which here is a pair of `cat` that forgets them. So the
/// destination's arguments are the fixed ones below, and a peer can choose neither paths nor options. They must
/// agree with the client's: change them together (`rsync -e` with a script that prints its arguments shows them).
enum RsyncCommand {
    enum Kind: Sendable {
        /// Whole folders, with deletions. Every name that rsync speaks of is printed, unchanged ones too (`-ii`).
        case full
        /// Only listed paths, read from standard input; listed paths that don't exist are deleted.
        case listed
    }

    static let program = "/usr/bin/rsync"

    /// The descriptor under which the tunnel to the peer is handed to rsync and on to its remote shell.
    static let tunnelNumber: Int32 = 5

    /// -a without its letters' surprises: links, owners, modes, times, devices, sockets; hard links (H), ACLs (A),
    /// extended attributes (X), holes (S). Times are compared by the nanosecond (`--modify-window=-1`): the default takes two
    /// changes within a second for none.
    private static let common = [
        "-aHAXS", "--numeric-ids", "--force", "--modify-window=-1", "--no-human-readable", "--info=stats1",
    ]

    /// The remote shell: joins the pipes that rsync gives it to the tunnel, and ends when the peer closes it. (The other way
    /// round it would wait for rsync to close its pipe, and a failing rsync waits for its remote shell first.) The
    /// third descriptor is there because sh gives background programs /dev/null as input.
    private static let shell = "sh -c 'exec 3<&0; cat <&3 >&\(tunnelNumber) & exec cat <&\(tunnelNumber)'"

    /// The client's arguments; working directory is /tree inside the confinement.
    static func client(_ kind: Kind, folders: [String]) -> [String] {
        switch kind {
        case .full:
            common + ["--delete-during", "-8", "-ii", "--out-format=%i %n", "-e", shell] + protections(folders)
                + folders.indices.map(String.init) + ["peer:/tree/"]
        case .listed:
            // --ignore-times: what is listed has changed, even if size and time were set back.
            common + [
                "--ignore-times", "--files-from=-", "--from0", "--delete-missing-args", "-e", shell, "/tree/", "peer:/tree/",
            ]
        }
    }

    /// A root file system mounted in its bundle is a folder of its own. Within the bundle it looks empty at the source, and at
    /// the destination, where nothing is mounted, it is the same folder: rsync must not empty it there.
    static func protections(_ folders: [String]) -> [String] {
        folders.indices.flatMap { outer in
            folders.indices.compactMap { inner in
                guard inner != outer, folders[inner].hasPrefix(folders[outer] + "/") else { return nil }
                let escaped = folders[inner].dropFirst(folders[outer].count).map {
                    "*?[]\\".contains($0) ? "\\\($0)" : String($0)
                }
                return "--exclude=/\(outer)\(escaped.joined())/*"
            }
        }
    }

    static func server(_ kind: Kind) -> [String] {
        switch kind {
        case .full:
            [
                "--server", "-lHogDtpAXrSe.iLsfxCIvu", "--log-format=%i%I", "--delete-during", "--force", "-@-1", "--numeric-ids",
                "--info=STATS1", ".", "/tree/",
            ]
        case .listed:
            [
                "--server", "-lHogDtpAXIRSe.LsfxCIvu", "--force", "--delete-missing-args", "-@-1", "--numeric-ids",
                "--info=STATS1", ".", "/tree/",
            ]
        }
    }
}
