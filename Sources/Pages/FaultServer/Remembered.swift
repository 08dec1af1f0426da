import CLinux
import Model

/// A task as the journal remembers it. Pure: the same journal gives the same tasks.
struct Remembered: Equatable {
    var pid: Int32
    var space: SpaceID?
    var isForked = false
    var isDead = false
    var view = AddressView()

    /// Follows one entry of the journal as the dead server did. Forked children get the numbers that it gave them: tasks
    /// and forks are counted in the order of the journal.
    static func apply(_ entry: TaskJournal.Entry, to story: inout [UInt32: Remembered]) {
        switch entry {
        case .task(let number, let pid, let space): story[number] = Remembered(pid: pid, space: space)
        case .dead(let number): story[number]?.isDead = true
        case .event(let number, let event):
            guard let parent = story[number] else { return }
            switch event.kind {
            case 0x13:
                story[UInt32(story.count)] = Remembered(pid: parent.pid, space: parent.space, isForked: true, view: parent.view)
            case 0x14: story[number]?.view.move(from: event.from, to: event.to, length: event.length)
            case 0x15 where event.from < event.to: story[number]?.view.remove(event.from..<event.to)
            case 0x16 where event.from < event.to: story[number]?.view.unmap(event.from..<event.to)
            default: break
            }
        }
    }
}
