import Glibc

// Small tool for tests and for looking into a process: see Commands.swift.
exit(runProbe(CommandLine.arguments))
