import Host

/// An OCI bundle: a folder with config.json and, beneath it or elsewhere, the container's root file system.
public struct OCIBundle: Sendable {
    public let path: String
    public var config: OCIConfig
    /// The file as read: what is written back as long as nothing was edited.
    private let original: (bytes: [UInt8], json: JSONValue)

    /// Reads FOLDER/config.json.
    public init(path: String) throws(BundleError) {
        let file = "\(path)/config.json"
        let bytes: [UInt8]
        do { bytes = try FileIO.read(file) } catch { throw .system(error) }
        try self.init(path: path, configuration: bytes)
    }

    /// Takes config.json as bytes, as they come from a peer.
    public init(path: String, configuration bytes: [UInt8]) throws(BundleError) {
        let json: JSONValue
        do { json = try JSONValue(parsing: bytes) } catch { throw .malformed(path: "\(path)/config.json", why: "\(error)") }
        guard json.members != nil else { throw .malformed(path: "\(path)/config.json", why: "it is no JSON object") }
        self.path = path
        config = OCIConfig(json: json)
        original = (bytes, json)
    }

    /// Absolute path of the root file system.
    public var rootPath: String { config.rootPath.hasPrefix("/") ? config.rootPath : "\(path)/\(config.rootPath)" }

    /// config.json's bytes: byte for byte what was read if no field has changed.
    public var configuration: [UInt8] { config.json == original.json ? original.bytes : config.json.encoded(indentation: "\t") }

    /// Writes config.json into the bundle's folder, which must exist.
    public func write() throws(BundleError) {
        do { try FileIO.writeAtomically(configuration, to: "\(path)/config.json", mode: 0o644) } catch { throw .system(error) }
    }
}
