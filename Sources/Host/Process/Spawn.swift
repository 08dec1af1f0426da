import CLinux
import Glibc

/// Starting programs: posix_spawn(3), which uses vfork semantics, so the size of this process doesn't matter.
public struct Spawn: Sendable {
    /// Program to run, an absolute path; or a bare name, looked up in PATH.
    public var program: String
    /// Arguments behind the program's name.
    public var arguments: [String]
    /// Whole environment as KEY=VALUE; nil hands on our own.
    public var environment: [String]?
    /// Which of our descriptors the child gets under which number. All others are closed. Numbers 0 to 2 that
    /// aren't named are /dev/null.
    public var descriptors: [Int32: Int32] = [:]
    public var workingDirectory: String?
    /// Makes the child the leader of a new session, out of reach of our terminal's signals.
    public var newSession = false

    public init(_ program: String, _ arguments: [String] = []) {
        self.program = program
        self.arguments = arguments
    }

    /// Starts the program. Signal mask and handlers start at their defaults.
    /// - Parameter descriptors: are duplicated: the caller keeps its own.
    public func start() throws(SystemError) -> ChildProcess {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var copies: [Int32] = []
        defer { for copy in copies { close(copy) } }
        try addDescriptors(&actions, &copies)
        if let workingDirectory { _ = linux_spawn_chdir(&actions, workingDirectory) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t(), all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        let setSID: Int32 = 0x80  // POSIX_SPAWN_SETSID
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (newSession ? setSID : 0)))

        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for p in argv { free(p) } }
        var envp = (environment ?? []).map { strdup($0) } + [nil]
        defer { for p in envp { free(p) } }
        var pid: pid_t = 0
        let code =
            if environment == nil {
                posix_spawnp(&pid, program, &actions, &attributes, &argv, Glibc.environ)
            } else {
                posix_spawnp(&pid, program, &actions, &attributes, &argv, &envp)
            }
        guard code == 0 else {
            throw SystemError(
                call: "posix_spawn", subject: program, errno: code,
                hint: code == ENOENT ? "is the program installed?" : nil)
        }
        return try ChildProcess(pid: pid)
    }

    private func addDescriptors(_ actions: inout posix_spawn_file_actions_t, _ copies: inout [Int32]) throws(SystemError) {
        let highest = max(descriptors.keys.max() ?? 2, 2)
        // Copies above every target, so that no mapping overwrites a source of a later one.
        for (target, source) in descriptors {
            let copy = fcntl(source, F_DUPFD_CLOEXEC, highest + 1)
            copies.append(Int32(try checkErrno("fcntl(F_DUPFD_CLOEXEC)", "descriptor \(source)", Int(copy))))
            posix_spawn_file_actions_adddup2(&actions, copies[copies.count - 1], target)
        }
        for target in 0...highest where descriptors[target] == nil {
            if target <= 2 {
                posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_RDWR, 0)
            } else {
                posix_spawn_file_actions_addclose(&actions, target)  // not open: no error in glibc
            }
        }
        _ = linux_spawn_close_from(&actions, highest + 1)
    }
}
