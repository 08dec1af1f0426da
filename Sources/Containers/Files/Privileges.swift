import CLinux
import Glibc
import Host

/// What a confined thread gives up: landlock(7) and capabilities(7).
enum Privileges {
    /// linux/capability.h. CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, FSETID 4, SETFCAP 31, MKNOD 27:
    /// owners, modes, device nodes, file capabilities. SYS_ADMIN 21: `trusted.*` and foreign `security.*` attributes; with
    /// it alone a mount would be possible, which landlock and the missing /proc prevent.
    private static let kept: UInt64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 21 | 1 << 27 | 1 << 31

    static func drop() throws(SystemError) {
        for capability: Int32 in 0..<64 where kept & (1 << UInt64(capability)) == 0 {
            let result = linux_drop_bounding(capability)
            if result == -Int(EINVAL) { break }  // beyond the kernel's last
            try kernelResult("prctl(PR_CAPBSET_DROP)", "capability \(capability)", result)
        }
        try kernelResult("prctl(PR_SET_NO_NEW_PRIVS)", "", linux_no_new_privileges())
    }

    /// Landlock access bits (linux/landlock.h), by the ABI that brought them.
    private static let execute: UInt64 = 1 << 0, writeFile: UInt64 = 1 << 1, readFile: UInt64 = 1 << 2,
        readFolder: UInt64 = 1 << 3
    private static func fileAccesses(abi: Int) -> UInt64 {
        switch abi {
        case ..<2: (1 << 13) - 1
        case 2: (1 << 14) - 1  // REFER
        case 3, 4: (1 << 15) - 1  // TRUNCATE
        default: (1 << 16) - 1  // IOCTL_DEV
        }
    }

    /// Allows reading everywhere, everything below the given folders, and nothing else; no TCP from ABI 4 on.
    /// Without landlock in the kernel this does nothing: the mount namespace confines by itself. ABI 1 is left alone too, because
    /// it forbids moving files between folders.
    static func landlock(writable: [String]) throws(SystemError) {
        let abi = linux_landlock_abi()
        guard abi >= 2 else { return }
        let all = fileAccesses(abi: abi)
        let size = abi >= 4 ? 16 : 8  // sizes of the structure before and since the network field
        let number = try kernelResult("landlock_create_ruleset", "", linux_landlock_create(all, abi >= 4 ? 3 : 0, size))
        let rules = OwnedDescriptor(taking: Int32(number))
        try allow(rules, "/", execute | readFile | readFolder)
        try allow(rules, "/dev/null", readFile | writeFile)
        for path in writable { try allow(rules, path, all & ~execute) }
        try kernelResult("prctl(PR_SET_NO_NEW_PRIVS)", "", linux_no_new_privileges())
        try kernelResult("landlock_restrict_self", "", linux_landlock_restrict(rules.raw))
    }

    private static func allow(_ rules: borrowing OwnedDescriptor, _ path: String, _ access: UInt64) throws(SystemError) {
        let folder = try OwnedDescriptor(opening: path, flags: LINUX_O_PATH)
        try kernelResult("landlock_add_rule", path, linux_landlock_add_path(rules.raw, access, folder.raw))
    }
}
