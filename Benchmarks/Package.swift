// swift-tools-version: 6.2
// A package of its own, with nothing but the toolchain: it builds in seconds and never waits for Martlet's own build.
import PackageDescription

let package = Package(
    name: "benchmarks",
    targets: [
        .executableTarget(
            name: "downtime",
            swiftSettings: [
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
            ])
    ]
)
