/*
 * libmartlet-criu.so: what Martlet needs from CRIU and CRIU does not offer.
 *
 * Preloaded into `criu swrk`, and into nothing else. It does nothing at all
 * unless MARTLET_SHIM_DIR names a folder and the program's name begins with
 * "criu" (CRIU starts tar, ip and others, which inherit the environment).
 *
 * Everything it is told lies in that folder, which belongs to one migration:
 *
 *   hidden.PID     dump: "START END\n" in hexadecimal, ascending: pages of this
 *                  process that CRIU's page scan does not see (hide-pages.c)
 *   smaps.PID      dump: read instead of /proc/PID/smaps (cached-smaps.c)
 *   listing        dump: hidden.PID is still being written for some; CRIU waits for that of the process
 *                  that it comes to, or until `listing` is gone (activate.c)
 *   hidden-objects dump: "INODE\n": shared memory whose content CRIU finds empty (shared-memory.c)
 *   hidden-segments dump: "ID\n": the same of System V segments (shared-memory.c)
 *   segments       restore: "DESCRIPTOR\n", an IPC namespace to go on in, below `objects` in the
 *                  folder of images; then "ID SIZE\n": its segments that are there already (shared-memory.c)
 *   objects        restore: "INODE DESCRIPTOR\n": shared memory that is there already, by its
 *                  number in the images; below `objects` in the folder of images (shared-memory.c)
 *   common         restore: which pages of the arena each process has (common-pages.c)
 *   no-conntrack   dump: leave out the walk over connection tracking (conntrack.c)
 *   temporary      written by us: folders that CRIU made in /tmp, one a line (temporary.c)
 *   control        restore: a listening SOCK_SEQPACKET socket (hold-restore.c)
 *
 * A file that isn't there leaves CRIU's behaviour as it is. PIDs are those
 * that CRIU itself sees.
 *
 * The control socket carries short texts, one a message:
 *
 *   us      held PID CGROUP       a RESTORE request came; PID is CRIU's, CGROUP its
 *                                 cgroup v2 folder ("-" if there is none)
 *   martlet common HEX            map an arena of so many bytes; may come once, before `release`
 *   us      common HEX            where it is; 0: not there
 *   martlet release WORDS...      go on. Words: `freeze=FOLDER` (a cgroup to freeze
 *                                 at the end), `cgroupns` (unshare the cgroup
 *                                 namespace first), `options=HEX` (bytes put behind
 *                                 the request's options, where the last one wins)
 *   us      stage NAME            CRIU notifies NAME (setup-namespaces, post-restore...)
 *   us      ready freezing        every task is restored and stopped; we now freeze the
 *                                 cgroup and ourselves with it: wait for "frozen 1"
 *   us      ready waiting ERRNO   the same, but the cgroup can't be frozen: tasks stay
 *                                 stopped by ptrace until `go`
 *   martlet go                    answer to `ready waiting`
 *
 * A closed socket means that Martlet is gone: we exit, and take a half restored
 * tree along (exit-kill.c).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Marks the functions that stand before libc's; all others stay inside the library. */
#define MARTLET_BEFORE_LIBC __attribute__((visibility("default")))

/* The folder of this migration, or NULL: then every function here passes through. */
const char *martlet_dir(void);

/* Writes "FOLDER/name" to path. False if it doesn't fit. */
bool martlet_path(char *path, size_t size, const char *name);

/* As martlet_path, for "name.PID". */
bool martlet_path_of(char *path, size_t size, const char *name, int pid);

/* The process whose /proc folder, or a file in it, is open as fd; -1 if it is something else. */
int martlet_pid_of(int fd);

/*
 * Waits while Martlet writes what belongs to a process (smaps.PID, then hidden.PID). After ten seconds on with what is there: what
 * isn't hidden is dumped, which is slow and right.
 */
void martlet_await_listing(int pid);

/* The next definition of a function, behind ours. Never returns NULL. */
void *martlet_next(const char *name);

/* Reads `objects` and `segments`: once, before CRIU has another root folder. False if it can't be understood. */
bool martlet_read_objects(void);

/* Maps the arena. Its address, or 0. */
uint64_t martlet_map_common(uint64_t length);

/* Reads `common`: once, before CRIU has another root folder. Without it, or with one that is unsound, nothing is shared. */
void martlet_read_common(void);

/*
 * To be told when a task is about to be forked, and in both processes when it was. CRIU forks tasks by clone3 (criu/clone-noasan.c), helpers
 * otherwise: these get no copy of the arena's page tables, 20 ms for 1 GB and helper.
 */
void martlet_forking(bool begins);

/* To be asked when CRIU opens a file beneath a folder of images: puts shared memory in the place of an empty memfd. */
void martlet_opening(int folder, const char *name);

/* A file in memory that CRIU has open (memory-files.c). */
struct memory_file;
/* What happens when CRIU closes it; the result and errno are CRIU's. */
typedef int memory_file_closing(struct memory_file *);
struct memory_file {
	int fd;
	memory_file_closing *closing; /* NULL: not open */
	bool read_only;
	const uint8_t *content; /* of one that is read */
	size_t size, at;
};

/* The open file in memory behind a descriptor, or NULL. */
struct memory_file *martlet_memory_file(int fd);

/* Opens one as if in `folder`, to be read once content and size are set. NULL if that can't be. */
struct memory_file *martlet_open_in_memory(int folder, memory_file_closing *closing);

/* Its descriptor is now something else. */
void martlet_forget_file(struct memory_file *file);
int martlet_close_nothing(struct memory_file *file);

/* To be asked before CRIU opens a file: a descriptor in its place, -1 for the file itself, -2 for failure with errno. */
int martlet_open_stream(int folder, const char *name, int flags);
int martlet_open_socket_information(int folder, const char *name);
int martlet_open_watch_list(int folder, const char *name);

/* What fstat was last asked for, if it has no kind, as an epoll; -1: something else. And how often fstat was asked. */
int martlet_looked_at_nameless(void);
extern unsigned martlet_looks;

/* True if these bytes belong to a file in memory; then the result is write's. */
bool martlet_write_stream(int fd, const void *bytes, size_t length, ssize_t *result);

/* CRIU has written its last image. False if one that it believes to be there is not. */
bool martlet_finish_streams(void);

/* True from the release of a restore on, in the process that received the request. */
bool martlet_is_restoring(void);

/* The same, also in the tasks that it forks. */
bool martlet_was_released(void);

/* To be asked in a restore when a file beneath the folder of images is opened: waits while page maps aren't whole. */
void martlet_await_pages(int folder, const char *name);

/* Writes the cgroup v2 folder of this process, as seen in this mount namespace. */
bool martlet_own_cgroup(char *path, size_t size);

/* Protobuf: the length that a criu_req of `length` bytes has at most with `added` more option bytes. */
size_t martlet_grown_length(size_t length, size_t added);

/*
 * Puts bytes at the end of the opts submessage (field 2) of a criu_req in place.
 * Returns the new length, or 0 if the request has no options or doesn't fit.
 */
size_t martlet_add_options(uint8_t *request, size_t length, size_t size, const uint8_t *added, size_t count);
