/// pstree.img: the tasks of the images.
public struct ProcessTreeImage: Hashable, Sendable {
    public struct Task: Hashable, Sendable {
        /// As the container's own PID namespace counts. Image names carry this number.
        public var pid: Int32
        public var parent: Int32
        public var group: Int32
        public var session: Int32
        /// In the same numbering. Of a zombie CRIU writes one that means nothing (memory that it never set).
        public var threads: [Int32]
    }

    public var tasks: [Task]

    /// The kernel's own limit (PID_MAX_LIMIT).
    static let maximumTasks = 1 << 22

    init(bytes: [UInt8]) throws(ImageError) {
        let file = try ImageFile(name: "pstree.img", kind: .processTree, bytes: bytes)
        tasks = []
        for index in file.entries.indices {
            var task = Task(pid: 0, parent: 0, group: 0, session: 0, threads: [])
            try file.fields(of: index) { field in
                switch field.number {
                case 1: task.pid = field.int32 ?? 0
                case 2: task.parent = field.int32 ?? 0
                case 3: task.group = field.int32 ?? 0
                case 4: task.session = field.int32 ?? 0
                case 5: if let thread = field.int32 { task.threads.append(thread) }
                default: break
                }
            }
            guard task.pid > 0, task.threads.count <= Self.maximumTasks else {
                throw .malformed(name: "pstree.img", why: "task \(index) has no number")
            }
            tasks.append(task)
        }
        guard !tasks.isEmpty, Set(tasks.map(\.pid)).count == tasks.count else {
            throw .malformed(name: "pstree.img", why: "tasks are missing or doubled")
        }
    }
}
