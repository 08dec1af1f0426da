import Host

/// Connection tracking of a network namespace (nf_conntrack).
public enum ConnectionTracking {
    /// Whether a process's network namespace tracks no connection, so that CRIU's two walks over the table (9 ms each on an
    /// ordinary host) would find nothing. False if it can't be told.
    public static func isEmpty(pid: Int32) -> Bool {
        let path = "/proc/sys/net/netfilter/nf_conntrack_count"
        // Without the file the kernel has no connection tracking at all.
        let count = try? NetworkNamespace(path: "/proc/\(pid)/ns/net").run { () throws(SystemError) in
            FileIO.exists(path) ? try FileIO.readLine(path) : "0"
        }
        return count == "0"
    }
}
