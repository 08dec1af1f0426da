// swift-tools-version: 6.2
// The targets are the rooms of docs/design.md, in the order in which a page of memory passes them.
// Each imports only rooms above it; scripts/check-layers checks the source files as well.
import PackageDescription

let house: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "martlet",
    products: [.executable(name: "martlet", targets: ["Martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "CXXHash"),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "Model", swiftSettings: house),
        .target(name: "Host", dependencies: ["CLinux", "Model"], swiftSettings: house),
        .target(name: "Pages", dependencies: ["CLinux", "CXXHash", "Model", "Host"], swiftSettings: house),
        .target(
            name: "Wire",
            dependencies: [
                "CLinux", "CLZ4", "CZstd", "Model", "Host",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: house
        ),
        .target(name: "Containers", dependencies: ["CLinux", "CXXHash", "Model", "Host", "Pages", "Wire"], swiftSettings: house),
        .target(name: "Plan", dependencies: ["Model"], swiftSettings: house),
        .target(
            name: "Migration", dependencies: ["Model", "Host", "Pages", "Wire", "Containers", "Plan"],
            swiftSettings: house
        ),
        .executableTarget(
            name: "Martlet",
            dependencies: ["Migration", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: house
        ),
        // Programs that tests start: what a process of its own must do, or an emulated machine.
        .executableTarget(
            name: "TrackerProbe", dependencies: ["CLinux", "Model", "Host", "Pages"], swiftSettings: house),
        .executableTarget(
            name: "PagesHarness", dependencies: ["CLinux", "Model", "Host", "Pages"], path: "Tests/PagesHarness",
            swiftSettings: house),
        .testTarget(name: "HostTests", dependencies: ["CLinux", "Model", "Host"], swiftSettings: house),
        .testTarget(
            name: "PagesTests", dependencies: ["CLinux", "Model", "Host", "Pages", "PagesHarness"], swiftSettings: house),
        .testTarget(name: "WireTests", dependencies: ["Model", "Host", "Wire"], swiftSettings: house),
        .testTarget(
            name: "ContainersTests", dependencies: ["CLinux", "Model", "Host", "Pages", "Containers"], swiftSettings: house),
        .testTarget(name: "PlanTests", dependencies: ["Plan", "Model"], swiftSettings: house),
        // Real programs on the lab's two hosts; LabTests talks to the installed martlet only, as a person would.
        .target(name: "LabSupport", dependencies: ["Host", "Model"], path: "Tests/LabSupport", swiftSettings: house),
        .testTarget(name: "LabTests", dependencies: ["LabSupport", "Host", "Model", "Plan"], swiftSettings: house),
    ]
)
