import Glibc
public import Host
public import Model
public import Plan

/// A migration's journal of one role: one JSON object a line, each on disk before it counts.
public final class JournalFile: Sendable {
    public let path: String
    private let file: SharedDescriptor

    /// Opens or creates the journal and makes its name survive a crash.
    public init(_ migration: MigrationID, _ role: Role) throws(SystemError) {
        let folder = Places.durable(migration)
        try Places.make(folder)
        path = Places.journal(migration, role)
        file = SharedDescriptor(
            try OwnedDescriptor(opening: path, flags: O_RDWR | O_APPEND | O_CREAT, mode: 0o600))
        try FileIO.synchronizeFolder(folder)
    }

    /// Appends a record and waits until it is on disk.
    public func append(_ record: JournalRecord) throws(SystemError) {
        var record = record
        record.at = RealtimeInstant.now.nanoseconds / 1_000_000
        let line = try separator() + JSON.encode(record) + [UInt8(ascii: "\n")]
        try writeBytes(line, to: file.raw, name: path)
        guard fdatasync(file.raw) == 0 else {
            throw SystemError(call: "fdatasync", subject: path, errno: errno)
        }
    }

    /// A line that a full disk cut off must not swallow the next one: that begins on a line of its own.
    private func separator() throws(SystemError) -> [UInt8] {
        var status = stat()
        guard fstat(file.raw, &status) == 0 else { throw SystemError(call: "fstat", subject: path, errno: errno) }
        guard status.st_size > 0 else { return [] }
        var last: UInt8 = 0
        guard pread(file.raw, &last, 1, status.st_size - 1) == 1 else {
            throw SystemError(call: "pread", subject: path, errno: errno)
        }
        return last == UInt8(ascii: "\n") ? [] : [UInt8(ascii: "\n")]
    }

    /// Reads what is on disk. A last line without its end was never acknowledged and is left out.
    public static func read(_ migration: MigrationID, _ role: Role) -> [JournalRecord] {
        guard let bytes = try? FileIO.read(Places.journal(migration, role)) else { return [] }
        let complete = bytes.lastIndex(of: UInt8(ascii: "\n")).map { bytes[..<$0] } ?? []
        return complete.split(separator: UInt8(ascii: "\n")).compactMap { try? JSON.decode(JournalRecord.self, from: Array($0)) }
    }

    /// The last record, where something is left to be settled.
    static func open(_ migration: MigrationID, _ role: Role) -> JournalRecord? {
        guard let last = read(migration, role).last, last.kind != .done, last.kind != .aborted else { return nil }
        return last
    }

    /// All migrations that this host has a journal of.
    public static func all() -> [MigrationID] {
        ((try? FileIO.list(Places.state)) ?? []).sorted().compactMap { MigrationID(rawValue: $0) }
    }
}
