#include "system.h"
#include "linux_trace.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

SAME(LINUX_PTRACE_CONT, PTRACE_CONT);
SAME(LINUX_PTRACE_GETREGS, PTRACE_GETREGS);
SAME(LINUX_PTRACE_SETREGS, PTRACE_SETREGS);
SAME(LINUX_PTRACE_DETACH, PTRACE_DETACH);
SAME(LINUX_PTRACE_SYSCALL, PTRACE_SYSCALL);
SAME(LINUX_PTRACE_SEIZE, PTRACE_SEIZE);
SAME(LINUX_PTRACE_INTERRUPT, PTRACE_INTERRUPT);
SAME(LINUX_PTRACE_GETSIGMASK, PTRACE_GETSIGMASK);
SAME(LINUX_PTRACE_SETSIGMASK, PTRACE_SETSIGMASK);
SAME(LINUX_PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACESYSGOOD);
SAME(LINUX_PTRACE_O_SUSPEND_SECCOMP, PTRACE_O_SUSPEND_SECCOMP);
SAME(sizeof(struct linux_registers), sizeof(struct user_regs_struct));
SAME_FIELD(struct linux_registers, rax, struct user_regs_struct, rax);
SAME_FIELD(struct linux_registers, rdi, struct user_regs_struct, rdi);
SAME_FIELD(struct linux_registers, orig_rax, struct user_regs_struct, orig_rax);
SAME_FIELD(struct linux_registers, rip, struct user_regs_struct, rip);
SAME_FIELD(struct linux_registers, cs, struct user_regs_struct, cs);
SAME_FIELD(struct linux_registers, gs, struct user_regs_struct, gs);

long linux_ptrace(long request, int pid, unsigned long address, unsigned long data) {
    long r = ptrace((enum __ptrace_request)request, pid, address, data);
    return RESULT(r);
}

long linux_wait_for_stop(int tid, int *status) {
    siginfo_t info;
    info.si_code = 0;
    long r = syscall(SYS_waitid, P_PID, tid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL, 0);
    if (r < 0) return -errno;
    if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) return -ESRCH;
    r = syscall(SYS_wait4, tid, status, __WALL | WNOHANG, 0);
    if (r == 0) return -EINTR; // killed between the two calls: look again
    return RESULT(r);
}

static void no_operation(int signal) { (void)signal; }
long linux_timer_create_for_thread(int tid, int sig) {
    struct sigaction a = {.sa_handler = no_operation};
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
long linux_timer_arm(long id, long long ns) {
    struct itimerspec t = {{0, ns > 0 ? 20000000 : 0}, {ns / 1000000000, ns % 1000000000}};
    long r = syscall(SYS_timer_settime, (int)id, 0, &t, 0);
    return RESULT(r);
}
void linux_timer_delete(long id) { syscall(SYS_timer_delete, (int)id); }
