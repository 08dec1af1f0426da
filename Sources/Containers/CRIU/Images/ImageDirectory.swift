import Glibc
import Host

/// A folder of CRIU images at the destination: checked, edited for a lazy restore, and asked what it holds.
public struct ImageDirectory: Sendable {
    public let path: String
    public init(path: String) { self.path = path }

    /// Largest image that is read into memory. Pages aren't; page maps of a 1 TiB process are 20 MB.
    private static let maximumImage = 256 << 20

    func read(_ name: String) throws(ImageError) -> [UInt8] {
        do {
            let size = try length(of: name)
            guard size <= Self.maximumImage else { throw ImageError.malformed(name: name, why: "it has \(size) bytes") }
            return try FileIO.read("\(path)/\(name)")
        } catch let error as ImageError { throw error } catch let error as SystemError {
            throw error.errno == ENOENT ? .missing(name) : .system(error)
        } catch { throw .malformed(name: name, why: "\(error)") }
    }

    func length(of name: String) throws(ImageError) -> Int {
        var status = stat()
        guard lstat("\(path)/\(name)", &status) == 0 else {
            throw errno == ENOENT ? .missing(name) : .system(SystemError(call: "lstat", subject: "\(path)/\(name)", errno: errno))
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .malformed(name: name, why: "it is no regular file") }
        return Int(status.st_size)
    }

    /// Names of all images, sorted.
    public func names() throws(ImageError) -> [String] {
        do { return try FileIO.list(path).filter { $0.hasSuffix(".img") }.sorted() } catch { throw .system(error) }
    }

    /// The tasks of the images.
    public func processTree() throws(ImageError) -> ProcessTreeImage { try ProcessTreeImage(bytes: read("pstree.img")) }

    /// Page maps of processes, by the number that the container's own PID namespace gives them.
    public func pageMaps() throws(ImageError) -> [Int32: PageMapImage] {
        var maps: [Int32: PageMapImage] = [:]
        for name in try names() {
            guard let pid = Self.number(name, between: "pagemap-") else { continue }
            maps[pid] = try PageMapImage(name: name, bytes: read(name))
        }
        return maps
    }

    /// The page map of one process.
    public func pageMap(of pid: Int32) throws(ImageError) -> PageMapImage {
        let name = "pagemap-\(pid).img"
        return try PageMapImage(name: name, bytes: read(name))
    }

    /// The content of a process's pages file; empty if there is none. Of a dump without memory these are some pages.
    public func pages(_ map: PageMapImage) throws(ImageError) -> [UInt8] {
        map.entries.allSatisfy { !$0.flags.contains(.present) } ? [] : try read("pages-\(map.pagesID).img")
    }

    /// `prefixN.img` to N.
    static func number(_ name: String, between prefix: String) -> Int32? {
        guard name.hasPrefix(prefix), name.hasSuffix(".img") else { return nil }
        return Int32(name.dropFirst(prefix.count).dropLast(4))
    }

    /// Makes the images ready for a restore whose anonymous memory comes from Martlet's fault server: see
    /// `PageMapImage.makePresent` and `FilesImage.relaxExternalFiles`. Doing it twice changes nothing more.
    public func prepareForRestore(lazy: Bool) throws(ImageError) {
        if lazy {
            for name in try names() where name.hasPrefix("pagemap-") {
                var bytes = try read(name)
                if try PageMapImage.makePresent(name: name, bytes: &bytes) > 0 { try write(bytes, to: name) }
            }
        }
        if let files = try FilesImage.relaxExternalFiles(read("files.img")) { try write(files, to: "files.img") }
    }

    /// Gives a process other pages: the file becomes its pages file, and the map its page map.
    /// - Parameter file: in the same folder.
    public func replacePages(of pid: Int32, by file: String, _ map: PageMapImage) throws(ImageError) {
        let target = "\(path)/pages-\(map.pagesID).img"
        guard rename("\(path)/\(file)", target) == 0 else {
            throw .system(SystemError(call: "rename", subject: target, errno: errno))
        }
        try write(map.encoded(), to: "pagemap-\(pid).img")
    }

    /// In place and without fsync: a migration whose destination crashes here starts anew.
    private func write(_ bytes: [UInt8], to name: String) throws(ImageError) {
        do {
            let file = try OwnedDescriptor(opening: "\(path)/\(name)", flags: O_WRONLY | O_TRUNC | O_NOFOLLOW)
            try FileIO.writeAll(bytes.span.bytes, to: file.raw, name: name)
        } catch { throw .system(error) }
    }
}
