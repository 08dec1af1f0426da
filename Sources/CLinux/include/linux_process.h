// Processes: pidfd, ptrace, kcmp, namespaces, wait-status macros, scheduling. All in `static inline`:
// raw system calls, because Glibc's module map is built without _GNU_SOURCE.
#pragma once
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define CLINUX static inline __attribute__((always_inline))
#define CLINUX_RESULT(x) ((x) < 0 ? -(long)errno : (long)(x))

CLINUX long linux_pidfd_open(int pid, unsigned flags) { long r = syscall(SYS_pidfd_open, pid, flags); return CLINUX_RESULT(r); }
CLINUX long linux_pidfd_getfd(int pidfd, int target) { long r = syscall(SYS_pidfd_getfd, pidfd, target, 0); return CLINUX_RESULT(r); }
CLINUX long linux_pidfd_send_signal(int pidfd, int sig) { long r = syscall(SYS_pidfd_send_signal, pidfd, sig, 0, 0); return CLINUX_RESULT(r); }
CLINUX long linux_setns(int fd, int type) { long r = syscall(SYS_setns, fd, type); return CLINUX_RESULT(r); }
CLINUX long linux_unshare(unsigned long flags) { long r = syscall(SYS_unshare, flags); return CLINUX_RESULT(r); }
CLINUX int linux_gettid(void) { return (int)syscall(SYS_gettid); }
CLINUX long linux_tgkill(int pid, int tid, int sig) { long r = syscall(SYS_tgkill, pid, tid, sig); return CLINUX_RESULT(r); }

// Linux 3.5; needs CONFIG_KCMP (CRIU needs it as well). 0 equal, 1 and 2 an order, 3 unequal.
CLINUX long linux_kcmp_vm(int pid1, int pid2) { long r = syscall(SYS_kcmp, pid1, pid2, 1 /* KCMP_VM */, 0, 0); return CLINUX_RESULT(r); }

CLINUX long linux_ptrace(long request, int pid, unsigned long address, unsigned long data) {
    long r = ptrace((enum __ptrace_request)request, pid, address, data);
    return CLINUX_RESULT(r);
}
// wait4 with __WALL: a traced thread isn't a child in the usual sense.
CLINUX long linux_wait(int pid, int *status, int options) { long r = syscall(SYS_wait4, pid, status, options, 0); return CLINUX_RESULT(r); }
// Waits for a stop of a traced thread. An end is answered by -ESRCH and left for the parent to reap, who may be us.
CLINUX long linux_wait_for_stop(int tid, int *status) {
    siginfo_t info;
    info.si_code = 0;
    long r = syscall(SYS_waitid, P_PID, tid, &info, WEXITED | WSTOPPED | WNOWAIT | 0x40000000, 0);
    if (r < 0) return -errno;
    if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) return -ESRCH;
    r = syscall(SYS_wait4, tid, status, 0x40000000 | 1, 0);
    if (r == 0) return -EINTR; // killed between the two calls: look again
    return CLINUX_RESULT(r);
}
static const int LINUX_WAIT_ALL = 0x40000000, LINUX_WAIT_NO_HANG = 1;

CLINUX int linux_status_exited(int s) { return WIFEXITED(s); }
CLINUX int linux_status_exit_code(int s) { return WEXITSTATUS(s); }
CLINUX int linux_status_signaled(int s) { return WIFSIGNALED(s); }
CLINUX int linux_status_term_signal(int s) { return WTERMSIG(s); }
CLINUX int linux_status_stopped(int s) { return WIFSTOPPED(s); }
CLINUX int linux_status_stop_signal(int s) { return WSTOPSIG(s); }

// nice value of the calling thread (a thread is a process to setpriority).
CLINUX long linux_set_thread_nice(int nice) { long r = syscall(SYS_setpriority, PRIO_PROCESS, 0, nice); return CLINUX_RESULT(r); }
// policy 1 is SCHED_FIFO, 0 SCHED_OTHER; thread 0 is the calling one.
CLINUX long linux_set_thread_scheduler(int thread, int policy, int priority) {
    struct { int priority; } p = {priority};
    long r = syscall(SYS_sched_setscheduler, thread, policy, &p);
    return CLINUX_RESULT(r);
}
// SCHED_FIFO's priority of a thread, 0 if it runs under another policy.
CLINUX long linux_realtime_priority(int thread) {
    struct { int priority; } p = {0};
    long policy = syscall(SYS_sched_getscheduler, thread);
    if (policy != 1) return policy < 0 ? -errno : 0;
    long r = syscall(SYS_sched_getparam, thread, &p);
    return r < 0 ? -errno : p.priority;
}
CLINUX long linux_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *timeout) {
    // The raw call writes the remaining time back: give it a copy.
    struct timespec copy;
    if (timeout) copy = *timeout;
    long r = syscall(SYS_ppoll, fds, n, timeout ? &copy : 0, 0, 8);
    return CLINUX_RESULT(r);
}
CLINUX long linux_pipe(int fds[2], int flags) { long r = syscall(SYS_pipe2, fds, flags); return CLINUX_RESULT(r); }
CLINUX long linux_eventfd(unsigned initial, int flags) { long r = syscall(SYS_eventfd2, initial, flags); return CLINUX_RESULT(r); }
CLINUX void linux_set_thread_name(const char *name) { syscall(SYS_prctl, 15 /* PR_SET_NAME */, name, 0, 0, 0); }

// posix_spawn's extensions (glibc 2.34, 2.29).
#include <spawn.h>
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *, const char *);
CLINUX int linux_spawn_close_from(posix_spawn_file_actions_t *a, int first) { return posix_spawn_file_actions_addclosefrom_np(a, first); }
CLINUX int linux_spawn_chdir(posix_spawn_file_actions_t *a, const char *path) { return posix_spawn_file_actions_addchdir_np(a, path); }

// ---- ptrace: requests and bits by number (sys/ptrace.h and linux/ptrace.h can't be included together) ----
enum {
    LINUX_PTRACE_CONT = 7, LINUX_PTRACE_GETREGS = 12, LINUX_PTRACE_SETREGS = 13, LINUX_PTRACE_DETACH = 17,
    LINUX_PTRACE_SYSCALL = 24, LINUX_PTRACE_SEIZE = 0x4206, LINUX_PTRACE_INTERRUPT = 0x4207,
    LINUX_PTRACE_GETSIGMASK = 0x420a, LINUX_PTRACE_SETSIGMASK = 0x420b,
    LINUX_PTRACE_GET_RSEQ_CONFIGURATION = 0x420f, LINUX_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211,
    LINUX_PTRACE_EVENT_STOP = 128, LINUX_PTRACE_O_TRACESYSGOOD = 1, LINUX_PTRACE_O_SUSPEND_SECCOMP = 1 << 21,
};
struct linux_rseq_configuration { uint64_t pointer; uint32_t size, signature, flags, pad; };
struct linux_dispatch_configuration { uint64_t mode, selector, offset, length; };

// A timer that sends a signal to one thread over and over, to end its blocking calls with EINTR (a handler without
// SA_RESTART). Used for wait4, which has no timeout; polling it instead lengthened a ptrace stop from 0.1 to 2.4 ms.
__attribute__((unused)) static void linux_no_operation(int signal) { (void)signal; }
CLINUX long linux_timer_create_for_thread(int tid, int sig) {
    struct sigaction a = {.sa_handler = linux_no_operation};
    if (sigaction(sig, &a, 0)) return -errno;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, 0);
    struct sigevent e = {.sigev_notify = 4 /* SIGEV_THREAD_ID */, .sigev_signo = sig};
    e._sigev_un._tid = tid;
    int id = -1;
    long r = syscall(SYS_timer_create, CLOCK_MONOTONIC, &e, &id);
    return r < 0 ? -errno : id;
}
// First signal after `ns`, then every 20 ms (one signal could come just before the call blocks); 0 disarms.
CLINUX long linux_timer_arm(long id, long long ns) {
    struct itimerspec t = {{0, ns > 0 ? 20000000 : 0}, {ns / 1000000000, ns % 1000000000}};
    long r = syscall(SYS_timer_settime, (int)id, 0, &t, 0);
    return CLINUX_RESULT(r);
}
CLINUX void linux_timer_delete(long id) { syscall(SYS_timer_delete, (int)id); }
