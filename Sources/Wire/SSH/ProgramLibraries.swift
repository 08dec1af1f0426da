/// Which libraries a program needs beside it on a host that has a C library and nothing else of ours.
public enum ProgramLibraries {
    /// The C library and what belongs to it: every host has its own, and two of them don't mix.
    private static let system = [
        "linux-vdso.so", "ld-linux", "libc.so", "libm.so", "libpthread.so", "libdl.so", "librt.so", "libresolv.so", "libutil.so",
        "libnss_", "libanl.so",
    ]

    /// - Parameter listing: what ldd(1) prints: `NAME => PATH (0xADDRESS)`.
    /// - Returns: paths under the names by which the program asks for them.
    public static func list(ldd listing: String) -> [String] {
        listing.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map { $0.drop { $0 == "\t" } }
            guard words.count >= 3, words[1] == "=>", words[2].hasPrefix("/") else { return nil }
            let name = String(words[0])
            guard !system.contains(where: { name.hasPrefix($0) }) else { return nil }
            // Under another name the loader would not find it.
            return words[2].hasSuffix("/\(name)") ? String(words[2]) : nil
        }
    }
}
