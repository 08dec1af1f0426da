import Glibc
import Host
import Model
import Testing
@testable import Pages

struct TaskJournalTests {
    private func adopt(_ journal: TaskJournal) throws -> TaskJournal {
        try TaskJournal(adopting: OwnedDescriptor(taking: fcntl(journal.descriptor.raw, F_DUPFD_CLOEXEC, 0)))
    }
    private func story(_ journal: TaskJournal) -> [UInt32: Remembered] {
        var story: [UInt32: Remembered] = [:]
        journal.replay { Remembered.apply($0, to: &story) }
        return story
    }
    /// What the kernel writes for one event: number of the event, then three words.
    private func event(_ kind: UInt8, _ words: UInt64...) -> [UInt8] {
        [kind, 0, 0, 0, 0, 0, 0, 0]
            + (words + [0, 0, 0]).prefix(3).flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }
    /// Writes records where the next ones belong, without moving the end: as a writer that is killed at once.
    private func writeBehindTheEnd(_ journal: TaskJournal, _ bytes: [UInt8]) {
        let offset = 4096 + Int(journal.word(.tail).load()) * TaskJournal.recordBytes
        #expect(pwrite(journal.descriptor.raw, bytes, bytes.count, offset) == bytes.count)
    }

    @Test func `tasks and their deaths are remembered`() throws {
        let journal = try TaskJournal()
        journal.addTask(0, pid: 1, space: SpaceID(5))
        journal.addTask(1, pid: 7, space: nil)
        journal.markDead(0)
        let found = story(try adopt(journal))
        #expect(found == [0: Remembered(pid: 1, space: SpaceID(5), isDead: true), 1: Remembered(pid: 7, space: nil)])
    }

    @Test func `events that the kernel wrote count though their reader died before it looked`() throws {
        let journal = try TaskJournal()
        journal.addTask(0, pid: 1, space: SpaceID(1))
        let header: [UInt8] = [1] + [UInt8](repeating: 0, count: 31)
        let remove = event(0x15, 0x10000, 0x12000), fault = event(0x12, 0, 0x30000), fork = event(0x13, 9)
        let later = event(0x15, 0x20000, 0x21000)
        writeBehindTheEnd(journal, header + remove + fault + fork + later)
        let heir = try adopt(journal)
        let found = story(heir)
        #expect(found.count == 2)
        #expect(found[0]?.view.image(of: 0x11000) == nil && found[0]?.view.image(of: 0x20000) == nil)
        #expect(found[1]?.isForked == true && found[1]?.pid == 1)
        #expect(found[1]?.view.image(of: 0x11000) == nil && found[1]?.view.image(of: 0x20000) == 0x20000)
        // The heir writes on behind them, and its own heir reads the same story.
        heir.markDead(1)
        #expect(story(try adopt(heir))[1]?.isDead == true)
    }

    @Test func `faults alone leave no trace`() throws {
        let journal = try TaskJournal()
        journal.addTask(0, pid: 1, space: SpaceID(1))
        writeBehindTheEnd(journal, [1] + [UInt8](repeating: 0, count: 31) + event(0x12, 0, 0x30000))
        let heir = try adopt(journal)
        #expect(story(heir).count == 1)
        #expect(heir.word(.tail).load() == 1)
    }

    @Test func `a full journal says so and keeps what it has`() throws {
        let journal = try TaskJournal(capacity: 3)
        for number in 0..<5 { journal.addTask(UInt32(number), pid: Int32(number), space: nil) }
        #expect(journal.word(.overflowed).load() == 1)
        #expect(story(try adopt(journal)).count == 3)
    }

    @Test func `other files are no journal`() throws {
        #expect(throws: StoreError.self) {
            _ = try TaskJournal(adopting: try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR))
        }
    }
}
