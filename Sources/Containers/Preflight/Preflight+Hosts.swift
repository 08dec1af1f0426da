import Model

extension Preflight {
    /// 3.17 and 4.1.1 fail on current kernels (vDSO bounds; SO_PASSCRED on TCP): measured, see docs/design.md.
    static let oldestCRIU = DottedVersion(4, 2)
    /// cgroup.freeze 5.2, open_tree 5.2, pidfd 5.3, mount_setattr 5.12.
    static let oldestKernel = DottedVersion(5, 12)

    func hostFindings() -> [Finding] {
        var found = versionFindings(source, role: "source") + versionFindings(destination.host, role: "destination")
        found += featureFindings()
        if source.architecture != destination.host.architecture {
            found.append(
                blocker(
                    "architecture-differs",
                    "\(source.name) is \(source.architecture), \(destination.host.name) is \(destination.host.architecture)",
                    "Memory and registers of a running program make sense only on the same architecture.",
                    "Choose a destination with \(source.architecture) processors."))
        } else {
            found += processorFindings()
        }
        return found
    }

    private func versionFindings(_ host: HostFacts, role: String) -> [Finding] {
        var found: [Finding] = []
        if host.kernel < Self.oldestKernel {
            found.append(
                blocker(
                    "kernel-too-old", "Linux \(host.kernel) on the \(role) \(host.name); \(Self.oldestKernel) is needed",
                    "Older kernels lack the cgroup freezer, mount and process interfaces that Martlet uses.",
                    "Update the kernel of \(host.name)."))
        }
        if let criu = host.criu {
            if criu < Self.oldestCRIU {
                found.append(
                    blocker(
                        "criu-too-old", "CRIU \(criu) on the \(role) \(host.name); \(Self.oldestCRIU) is needed",
                        "Older versions fail on current kernels and write images that this version doesn't expect.",
                        "Install CRIU \(Self.oldestCRIU) or newer on \(host.name) (Debian: from sid or backports)."))
            }
        } else {
            found.append(
                blocker(
                    "criu-missing", "no working criu on the \(role) \(host.name)",
                    "CRIU saves and restores everything about a process but its memory.",
                    "Install CRIU \(Self.oldestCRIU) or newer on \(host.name)."))
        }
        if let complaint = host.criuComplaint {
            found.append(
                warning(
                    "criu-check", "criu check isn't content with the \(role) \(host.name): \(complaint)",
                    "CRIU itself says that it lacks something of the kernel; whether this container needs it shows at the dump.",
                    "Run `criu check` there; it is mostly a kernel built without CONFIG_CHECKPOINT_RESTORE or a missing capability."
                ))
        }
        let needed: [HostProgram] = container.network.kind == .named ? [.rsync, .runc, .ip, .nsenter] : [.rsync, .runc]
        for program in needed where !host.programs.contains(program) {
            found.append(
                blocker(
                    "program-missing", "no \(program.rawValue) on the \(role) \(host.name)",
                    "Martlet runs it there.", "Install \(program.rawValue) on \(host.name)."))
        }
        return found
    }

    private func featureFindings() -> [Finding] {
        let needs: [(HostFacts, HostFeature, String, String)] = [
            (source, .cgroup2, "the container can't be frozen as a whole", "Boot with a cgroup v2 hierarchy."),
            (destination.host, .cgroup2, "the copy can't be held until the commit", "Boot with a cgroup v2 hierarchy."),
        ]
        return needs.filter { !$0.0.features.contains($0.1) }.map { host, feature, why, hint in
            blocker("feature-missing", "\(host.name)'s kernel has no \(feature.rawValue)", "Without it \(why).", hint)
        }
    }

    /// A program looks up the processor's features once and uses them for ever: a missing one is SIGILL later.
    private func processorFindings() -> [Finding] {
        let missing = source.processorFlags.subtracting(destination.host.processorFlags)
            .subtracting(Self.flagsWithoutInstructions)
        guard !missing.isEmpty else { return [] }
        return [
            blocker(
                "cpu-flags-missing",
                "\(destination.host.name)'s processor (\(destination.host.processorModel)) lacks "
                    + shortList(missing.sorted(), limit: 8),
                "Programs that found these features at their start go on using them and would be killed by SIGILL.",
                "Choose a destination with the same or a newer processor model.")
        ]
    }

    /// Flags of /proc/cpuinfo that tell about the kernel, power saving or virtualization, not about what a
    /// program in user mode may execute (arch/x86/include/asm/cpufeatures.h).
    static let flagsWithoutInstructions: Set<String> = [
        "acpi", "amd_dcm", "amd_e400", "amd_lbr_v2", "amd_ppin", "aperfmperf", "apic", "arat", "arch_capabilities",
        "arch_lbr", "arch_perfmon", "art", "auto_ibrs", "avic", "bhi", "bmec", "bts", "bus_lock_detect", "cat_l2",
        "cat_l3", "cdp_l2", "cdp_l3", "cmp_legacy", "constant_tsc", "cpb", "cppc", "cpuid", "cpuid_fault", "cqm",
        "cqm_llc", "cqm_mbm_local", "cqm_mbm_total", "cqm_occup_llc", "cr8_legacy", "dca", "de", "debug_swap",
        "decodeassists", "ds_cpl", "dtes64", "dtherm", "dts", "epb", "ept", "ept_ad", "est", "extapic",
        "extd_apicid", "flexpriority", "flush_l1d", "flushbyasid", "hfi", "ht", "hw_pstate", "hwp",
        "hwp_act_window", "hwp_epp", "hwp_notify", "hwp_pkg_req", "hypervisor", "ibpb", "ibpb_exit_to_user", "ibrs",
        "ibrs_enhanced", "ibs", "ida", "intel_ppin", "intel_pt", "invpcid", "invpcid_single", "irperf", "itmt",
        "la57", "lbrv", "mba", "mca", "mce", "md_clear", "monitor", "msr", "mtrr", "mwaitx", "nodeid_msr",
        "nonstop_tsc", "nopl", "npt", "nrip_save", "nx", "osvw", "overflow_recov", "pae", "pat", "pausefilter",
        "pbe", "pcid", "pconfig", "pdcm", "pdpe1gb", "pebs", "perfctr_core", "perfctr_llc", "perfctr_nb",
        "perfmon_v2", "pfthreshold", "pge", "pln", "proc_feedback", "pse", "pse36", "pti", "pts", "rapl", "rdt_a",
        "rep_good", "rrsba_ctrl", "sdbg", "sev", "sev_es", "sev_snp", "skinit", "smap", "smca", "sme", "smep",
        "smx", "split_lock_detect", "ss", "ssbd", "ssbs", "stibp", "succor", "svm", "svm_lock", "swap_ipi", "tce",
        "tm", "tm2", "tme", "topoext", "tpr_shadow", "tsc_adjust", "tsc_deadline_timer", "tsc_known_freq",
        "tsc_reliable", "tsc_scale", "umip", "up", "user_shstk", "v_spec_ctrl", "v_vmsave_vmload", "vgif",
        "vmcb_clean", "vme", "vmmcall", "vmx", "vnmi", "vpid", "wbnoinvd", "wdt", "x2apic", "x2avic", "xsaves",
        "xtopology", "xtpr",
    ]
}
