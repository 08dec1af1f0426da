// Raw system calls where the C library of Debian 12 has no function.
#include "system.h"
#include "linux_process.h"
#include <malloc.h>
#include <poll.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

long linux_pidfd_open(int pid, unsigned flags) { long r = syscall(SYS_pidfd_open, pid, flags); return RESULT(r); }
long linux_pidfd_getfd(int pidfd, int target) { long r = syscall(SYS_pidfd_getfd, pidfd, target, 0); return RESULT(r); }
long linux_pidfd_send_signal(int pidfd, int sig) { long r = syscall(SYS_pidfd_send_signal, pidfd, sig, 0, 0); return RESULT(r); }
long linux_setns(int fd, int type) { long r = syscall(SYS_setns, fd, type); return RESULT(r); }
long linux_unshare(unsigned long flags) { long r = syscall(SYS_unshare, flags); return RESULT(r); }
int linux_gettid(void) { return (int)syscall(SYS_gettid); }
long linux_tgkill(int pid, int tid, int sig) { long r = syscall(SYS_tgkill, pid, tid, sig); return RESULT(r); }
long linux_kcmp_vm(int pid1, int pid2) { long r = syscall(SYS_kcmp, pid1, pid2, 1 /* KCMP_VM */, 0, 0); return RESULT(r); }

SAME(LINUX_WAIT_ALL, __WALL);
SAME(LINUX_WAIT_NO_HANG, WNOHANG);
long linux_wait(int pid, int *status, int options) { long r = syscall(SYS_wait4, pid, status, options, 0); return RESULT(r); }

long linux_set_thread_nice(int nice) { long r = syscall(SYS_setpriority, PRIO_PROCESS, 0, nice); return RESULT(r); }
long linux_set_thread_slice(unsigned long nanoseconds) {
    struct { unsigned size, policy; unsigned long flags; int nice; unsigned priority; unsigned long runtime, deadline, period; } a = {0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0) return -errno;
    a.size = sizeof a;
    a.policy = 0;
    a.flags = 0;
    a.priority = 0;
    a.deadline = a.period = 0;
    a.runtime = nanoseconds;
    long r = syscall(SYS_sched_setattr, 0, &a, 0);
    return RESULT(r);
}
long linux_set_nice(int thread, int nice) { long r = syscall(SYS_setpriority, PRIO_PROCESS, thread, nice); return RESULT(r); }
long linux_set_thread_scheduler(int thread, int policy, int priority) {
    struct { int priority; } p = {priority};
    long r = syscall(SYS_sched_setscheduler, thread, policy, &p);
    return RESULT(r);
}
long linux_realtime_priority(int thread) {
    struct { int priority; } p = {0};
    long policy = syscall(SYS_sched_getscheduler, thread);
    if (policy != 1) return policy < 0 ? -errno : 0;
    long r = syscall(SYS_sched_getparam, thread, &p);
    return r < 0 ? -errno : p.priority;
}
void linux_set_thread_name(const char *name) { syscall(SYS_prctl, 15 /* PR_SET_NAME */, name, 0, 0, 0); }

SAME(sizeof(struct linux_pollfd), sizeof(struct pollfd));
SAME_FIELD(struct linux_pollfd, fd, struct pollfd, fd);
SAME_FIELD(struct linux_pollfd, events, struct pollfd, events);
SAME_FIELD(struct linux_pollfd, revents, struct pollfd, revents);
long linux_poll(struct linux_pollfd *fds, unsigned long n, int64_t nanoseconds) {
    struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    long r = syscall(SYS_ppoll, fds, n, nanoseconds < 0 ? 0 : &t, 0, 8);
    return RESULT(r);
}
long linux_pipe(int fds[2], int flags) { long r = syscall(SYS_pipe2, fds, flags); return RESULT(r); }
long linux_eventfd(unsigned initial, int flags) { long r = syscall(SYS_eventfd2, initial, flags); return RESULT(r); }

int linux_spawn_close_from(void *actions, int first) { return posix_spawn_file_actions_addclosefrom_np(actions, first); }
int linux_spawn_chdir(void *actions, const char *path) { return posix_spawn_file_actions_addchdir_np(actions, path); }

void linux_keep_freed_buffers(int bytes, int trim) {
    mallopt(M_MMAP_THRESHOLD, bytes);
    mallopt(M_TRIM_THRESHOLD, trim);
}
