import Glibc
import Host

/// CRIU's page server (`criu page-server`): takes the pages of a dump over one socket and writes `pagemap-N.img` and `pages-N.img`.
///
/// It listens nowhere: it's given a connected socket (`--ps-socket`), so that its protocol, which knows neither authentication nor
/// encryption, stays between two processes of one host. It ends by itself when the dump says that it is over, or when the socket closes.
public final class PageServer: Sendable {
    private let child: ChildProcess
    private let logPath: String

    /// Starts it.
    /// - Parameters:
    ///   - socket: a connected stream socket; duplicated, so close it.
    ///   - imagesDirectory: where its images go.
    ///   - workDirectory: where its log goes.
    public init(socket: Int32, imagesDirectory: String, workDirectory: String, program: String = "criu") throws(CriuError) {
        logPath = "\(workDirectory)/page-server.log"
        var spawn = Spawn(
            program,
            [
                "page-server", "--images-dir", imagesDirectory, "--work-dir", workDirectory, "--ps-socket", "3",
                "--log-file", "page-server.log", "-v1",
            ])
        spawn.descriptors = [3: socket]
        spawn.newSession = true
        do { child = try spawn.start() } catch { throw .system(error) }
    }

    /// Waits until it has written everything and ended. The dump has heard so from it before: this takes no time.
    /// - Throws: `died` with the end of its log if it did not end well, `timedOut`.
    public func finish(within limit: Duration) throws(CriuError) {
        let status: ExitStatus?
        do { status = try child.wait(until: .now + limit) } catch { throw .system(error) }
        guard let status else { throw .timedOut(what: "page server", after: limit, log: CriuLog(path: logPath)) }
        guard status.isSuccess else { throw .died(what: "page server", status: "\(status)", log: CriuLog(path: logPath)) }
    }

    /// Ends it, whatever it does.
    public func cancel() {
        _ = try? child.kill(SIGKILL)
        _ = try? child.wait(until: .now + .seconds(10))
    }
}
