import Glibc

// Programs that the tests of the fault server need beside themselves: one that can be killed, a keeper, and a measurement.
//   PagesHarness serve FOLDER PAGES PROCESSES PUSHPAGES MISSING   descriptor 3: the keeper's link
//   PagesHarness keep PUSHPAGES                                   descriptor 3: the session's link
//   PagesHarness measure CLIENT FOLDER PAGES                      prints figures
exit(Harness.run(Array(CommandLine.arguments.dropFirst())))
