import Testing

@testable import Containers

@Suite struct BundleTests {
    static let text = """
        {
          "ociVersion": "1.0.2", "vendor":  {"odd":1.50},
          "process": {"terminal": true, "user": {"uid": 5, "gid": 6, "additionalGids": [7]}, "args": ["a", "b"], "cwd": "/w"},
          "root": {"path": "rootfs", "readonly": true},
          "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                     {"destination": "/d", "type": "none", "source": "/data/d", "options": ["rbind", "ro"]}],
          "hooks": {"createRuntime": [{"path": "/bin/h", "args": ["h", "x"]}]},
          "annotations": {"org.criu.config": "/etc/mine.conf"},
          "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}, {"type": "cgroup"}, {"type": "future"}],
                    "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
                    "cgroupsPath": "/r1", "maskedPaths": ["/proc/kcore"]}
        }
        """

    @Test func `fields come out typed`() throws {
        let config = try OCIBundle(path: "/b", configuration: Array(Self.text.utf8)).config
        #expect(config.hasTerminal && config.isRootReadOnly)
        #expect(config.arguments == ["a", "b"])
        #expect(config.user == OCIConfig.User(uid: 5, gid: 6, additionalGIDs: [7]))
        #expect(config.mounts.map(\.isBind) == [false, true])
        #expect(config.namespaces.count == 3)
        #expect(config.namespace(.network)?.path == "/run/netns/x")
        #expect(config.namespace(.cgroup).map { $0.path == nil } == true)
        #expect(config.hooks == [OCIConfig.Hook(stage: "createRuntime", path: "/bin/h", arguments: ["h", "x"])])
        #expect(config.devices.map(\.path) == ["/dev/fuse"])
        #expect(config.criuConfigurationFile == "/etc/mine.conf")
    }

    @Test func `an unedited configuration stays byte for byte`() throws {
        let bundle = try OCIBundle(path: "/b", configuration: Array(Self.text.utf8))
        #expect(bundle.configuration == Array(Self.text.utf8))
        #expect(bundle.rootPath == "/b/rootfs")
    }

    @Test func `an edit keeps what nobody knows`() throws {
        var bundle = try OCIBundle(path: "/b", configuration: Array(Self.text.utf8))
        bundle.config.setNamespacePath("/run/netns/y", of: .network)
        bundle.config.cgroupsPath = "/r2"
        let again = try OCIBundle(path: "/b", configuration: bundle.configuration)
        #expect(again.config.namespace(.network)?.path == "/run/netns/y")
        #expect(again.config.cgroupsPath == "/r2")
        #expect(again.config.json[["vendor", "odd"]] == .number("1.50"))
        #expect(again.config.json[["linux", "namespaces"]]?.array?.count == 4)
    }

    @Test(arguments: [(nil, "/etc/criu/runc.conf"), ("", nil), ("/x", "/x")] as [(String?, String?)])
    func `the annotation chooses CRIU's configuration file as runc does`(_ value: String?, _ file: String?) throws {
        var config = OCIConfig(json: .object([]))
        config.json[["annotations", "org.criu.config"]] = value.map(JSONValue.string)
        #expect(config.criuConfigurationFile == file)
    }

    @Test(arguments: [
        ("r1", true), ("a.b-c_d+e", true), ("", false), ("..", false), ("../x", false), ("a/b", false), ("-x", false),
        (".x", false),
    ])
    func `only identifiers that are safe in paths are taken`(_ id: String, _ isValid: Bool) {
        #expect(RuncRuntime.isValidID(id) == isValid)
    }

    @Test func `runc's state tells pid, bundle, cgroup and namespaces`() throws {
        let text = """
            {"id":"r1","init_process_pid":42,"init_process_start":9007199254740993,
             "config":{"rootfs":"/data/r1/rootfs","labels":["x=y","bundle=/data/r1"]},
             "cgroup_paths":{"":"/sys/fs/cgroup/r1"},"namespace_paths":{"NEWNET":"/proc/42/ns/net","NEWNS":"/proc/42/ns/mnt"}}
            """
        let state = try RuntimeState(runcState: Array(text.utf8), path: "state.json")
        #expect(state.pid == 42 && state.bundle == "/data/r1" && state.unifiedCgroup == "/sys/fs/cgroup/r1")
        #expect(state.startTime == 9_007_199_254_740_993)
        #expect(state.namespacePaths == ["network": "/proc/42/ns/net", "mount": "/proc/42/ns/mnt"])
    }
}
