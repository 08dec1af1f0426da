import CLZ4
import CZstd

/// Packs payloads. Holds zstd's working memory, so that a frame costs no allocation. One thread at a time.
struct Packer: ~Copyable {
    /// Zstandard's level: -1 and 1 ran at 0.14 to 0.23 GB/s on code-like data; higher levels are slower than the
    /// links that are worth packing for.
    static let zstdLevel: Int32 = 1

    private let context: OpaquePointer?

    init() { context = ZSTD_createCCtx() }

    deinit { ZSTD_freeCCtx(context) }

    /// Packs `source` into the start of `target`.
    /// - Returns: the packed length, or nil when `target` is too small (the data is not worth packing).
    func pack(_ source: UnsafeRawBufferPointer, with codec: Codec, into target: UnsafeMutableRawBufferPointer) -> Int? {
        guard let from = source.baseAddress, let to = target.baseAddress, source.count > 0 else { return nil }
        switch codec {
        case .none:
            return nil
        case .lz4:
            let packed = LZ4_compress_default(
                from.assumingMemoryBound(to: CChar.self), to.assumingMemoryBound(to: CChar.self),
                Int32(source.count), Int32(target.count))
            return packed > 0 ? Int(packed) : nil
        case .zstd:
            let packed = ZSTD_compressCCtx(context, to, target.count, from, source.count, Self.zstdLevel)
            return ZSTD_isError(packed) == 0 && packed > 0 ? packed : nil
        }
    }
}

/// Unpacks payloads that may come from a hostile peer: both libraries check every bound.
struct Unpacker: ~Copyable {
    private let context: OpaquePointer?

    init() { context = ZSTD_createDCtx() }

    deinit { ZSTD_freeDCtx(context) }

    /// Unpacks `source` into the start of `target`.
    /// - Returns: the unpacked length, or nil when the data is damaged or larger than `target`.
    func unpack(_ source: UnsafeRawBufferPointer, with codec: Codec, into target: UnsafeMutableRawBufferPointer) -> Int? {
        guard let from = source.baseAddress, let to = target.baseAddress else { return nil }
        switch codec {
        case .none:
            return nil
        case .lz4:
            let length = LZ4_decompress_safe(
                from.assumingMemoryBound(to: CChar.self), to.assumingMemoryBound(to: CChar.self),
                Int32(source.count), Int32(target.count))
            return length >= 0 ? Int(length) : nil
        case .zstd:
            let length = ZSTD_decompressDCtx(context, to, target.count, from, source.count)
            return ZSTD_isError(length) == 0 ? length : nil
        }
    }
}
