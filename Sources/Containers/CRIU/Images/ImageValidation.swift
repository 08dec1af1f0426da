import Model

extension ImageDirectory {
    /// Checks that the images are whole before CRIU sees them: the ones that every dump has are there, every image of
    /// a plain form can be walked to its end, and every pages file is as long as its page map says.
    ///
    /// Images with other contents behind their entries (pipe data, deleted files, socket queues, archives of tmpfs)
    /// aren't looked into: their lengths are the transfer's business.
    public func validate() throws(ImageError) {
        _ = try ImageFile(name: "inventory.img", kind: .inventory, bytes: read("inventory.img"))
        _ = try ImageFile(name: "files.img", kind: .files, bytes: read("files.img"))
        let all = try names()
        let present = Set(all)
        for task in try processTree().tasks {
            if try isZombie(task.pid) { continue }
            for thread in task.threads where !present.contains("core-\(thread).img") { throw .missing("core-\(thread).img") }
        }
        for name in all {
            if let kind = Self.plainKind(name) { _ = try ImageFile(name: name, kind: kind, bytes: read(name)) }
            if name.hasPrefix("pagemap-") { try validatePages(of: name) }
        }
    }

    /// core-PID.img, field tc (3), task_state (1): 2 and 6 are CRIU's words for the dead (criu/include/pid.h).
    private func isZombie(_ pid: Int32) throws(ImageError) -> Bool {
        let name = "core-\(pid).img"
        let file = try ImageFile(name: name, kind: .core, bytes: read(name))
        var body: ArraySlice<UInt8>?
        try file.fields(of: 0) { field in if field.number == 3 { body = field.bytes } }
        guard let body else { throw .malformed(name: name, why: "it describes no process") }
        do {
            var reader = ProtobufReader(body)
            while let field = try reader.next() {
                if field.number == 1, let state = field.unsigned { return state == 2 || state == 6 }
            }
        } catch { throw .malformed(name: name, why: "\(error)") }
        return false
    }

    private static func plainKind(_ name: String) -> ImageFile.Kind? {
        let kinds: [(String, ImageFile.Kind)] = [
            ("core-", .core), ("mm-", .memory), ("ids-", .identities), ("fdinfo-", .descriptors), ("mountpoints-", .mounts),
        ]
        return kinds.first { name.hasPrefix($0.0) }?.1
    }

    private func validatePages(of name: String) throws(ImageError) {
        let map = try PageMapImage(name: name, bytes: read(name))
        let expected = map.presentPages.rawValue * pageSize
        let pages = "pages-\(map.pagesID).img"
        // CRIU makes no pages file for a map without a page in it, or an empty one.
        if expected == 0, (try? length(of: pages)) == nil { return }
        let actual = try length(of: pages)
        guard actual == expected else { throw .wrongLength(name: pages, actual: actual, expected: expected) }
    }
}
