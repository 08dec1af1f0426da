// Processes and threads: pidfd, namespaces, waiting, scheduling, poll, posix_spawn's extensions.
#pragma once
#include <stdint.h>

long linux_pidfd_open(int pid, unsigned flags);
long linux_pidfd_getfd(int pidfd, int target);
long linux_pidfd_send_signal(int pidfd, int sig);
long linux_setns(int fd, int type);
long linux_unshare(unsigned long flags);
int linux_gettid(void);
long linux_tgkill(int pid, int tid, int sig);

// Linux 3.5; needs CONFIG_KCMP (CRIU needs it as well). 0 equal, 1 and 2 an order, 3 unequal.
long linux_kcmp_vm(int pid1, int pid2);

// wait4(2). __WALL in `options`: a traced thread isn't a child in the usual sense.
long linux_wait(int pid, int *status, int options);
static const int LINUX_WAIT_ALL = 0x40000000, LINUX_WAIT_NO_HANG = 1;

// wait(2)'s macros.
static inline int linux_status_exited(int s) { return (s & 0x7f) == 0; }
static inline int linux_status_exit_code(int s) { return (s >> 8) & 0xff; }
static inline int linux_status_signaled(int s) { return (s & 0x7f) != 0 && (s & 0x7f) != 0x7f; }
static inline int linux_status_term_signal(int s) { return s & 0x7f; }
static inline int linux_status_stopped(int s) { return (s & 0xff) == 0x7f; }
static inline int linux_status_stop_signal(int s) { return (s >> 8) & 0xff; }

// nice value of the calling thread (a thread is a process to setpriority).
long linux_set_thread_nice(int nice);
// Puts the calling thread under SCHED_OTHER with a slice of so many nanoseconds (Linux 6.12; earlier kernels ignore the slice).
long linux_set_thread_slice(unsigned long nanoseconds);
// the same of any thread.
long linux_set_nice(int thread, int nice);
// policy 1 is SCHED_FIFO, 0 SCHED_OTHER; thread 0 is the calling one.
long linux_set_thread_scheduler(int thread, int policy, int priority);
// SCHED_FIFO's priority of a thread, 0 if it runs under another policy.
long linux_realtime_priority(int thread);
void linux_set_thread_name(const char *name);

// struct pollfd
struct linux_pollfd { int fd; short events, revents; };
// ppoll(2); negative nanoseconds wait forever.
long linux_poll(struct linux_pollfd *fds, unsigned long n, int64_t nanoseconds);
long linux_pipe(int fds[2], int flags);
long linux_eventfd(unsigned initial, int flags);

// posix_spawn's extensions (glibc 2.34, 2.29); `actions` is a posix_spawn_file_actions_t.
int linux_spawn_close_from(void *actions, int first);
int linux_spawn_chdir(void *actions, const char *path);

// The C library's heap keeps freed buffers of up to `bytes`, and up to `trim` free bytes at its end, instead of giving each
// back to the kernel (mallopt(3); malloc.h is not in Glibc's module map).
void linux_keep_freed_buffers(int bytes, int trim);
