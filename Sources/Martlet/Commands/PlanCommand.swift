import ArgumentParser
import Glibc
import Migration
import Model
import Plan

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Predict for each method how long a migration would take and how long the container would stand.",
        discussion: """
            Watches the container for two seconds (how much memory it has, how fast it writes to it) and measures the link. Nothing is \
            frozen or moved. The other figures are constants of the machine that Martlet was measured on: see docs/methods.md.
            """)

    @Argument(help: "The container's name.")
    var container: String

    @Option(
        name: .customLong("to"),
        help: ArgumentHelp("HOST[:PORT] of the destination's agent, or ssh://[USER@]HOST[:PORT].", valueName: "dest"))
    var destination: String

    @OptionGroup var flags: MigrationFlags

    @Flag(help: "One JSON document on standard output.")
    var json = false

    @Option(help: ArgumentHelp("runc's folder of container states.", valueName: "dir"))
    var runtimeRoot = "/run/runc"

    private struct Document: Encodable {
        var event = "plan"
        var container: String
        var destination: String
        var measured: PlanMeasurement
        var methods: [MethodPrediction]
        var findings: [Finding]
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        Interrupts.block()
        let options = try flags.options()
        let request = MigrationRequest(
            container: container, destination: try address(destination), options: options, runtimeRoot: runtimeRoot)
        let report: Planner.Report
        do { report = try Planner.plan(request) } catch let problem as Problem {
            Terminal.error("martlet: \(Words.problem(problem))")
            throw ExitCode(3)
        }
        if json {
            Terminal.line(
                jsonLine(
                    Document(
                        container: container, destination: request.destination.host, measured: report.measured,
                        methods: report.predictions, findings: report.findings)))
        } else {
            for finding in report.findings { Terminal.line(Words.finding(finding)) }
            Terminal.line(Words.measured(report.measured))
            Terminal.line(Words.predictions(report.predictions))
        }
        if report.findings.contains(where: \.isBlocker) { throw ExitCode(3) }
    }
}

extension Words {
    static func measured(_ measured: PlanMeasurement) -> String {
        let link = measured.linkRate.map { "\(bytes(Int($0)))/s" } ?? "not measured"
        return "memory \(bytes(measured.pages * pageSize)), \(fixed(measured.contentShare * 100, 0)) % of it content; "
            + "written to \(bytes(Int(measured.dirtyRate) * pageSize))/s; link \(link); "
            + "\(measured.processes) \(measured.processes == 1 ? "process" : "processes")"
            + "; processors \(fixed(measured.busy * 100, 0)) % busy"
    }

    static func predictions(_ all: [MethodPrediction]) -> String {
        var lines = ["method                    total   downtime  rounds"]
        for one in all {
            lines.append(
                one.method.rightPadded(20) + milliseconds(one.totalMS).leftPadded(11, " ")
                    + milliseconds(one.downtimeMS).leftPadded(11, " ") + "\(one.rounds)".leftPadded(8, " ")
                    + (one.how.map { $0 == one.method ? "" : "  \($0)" } ?? ""))
        }
        return lines.joined(separator: "\n")
    }
}
