// ptrace(2): requests and bits by number (sys/ptrace.h and linux/ptrace.h can't be included together), and the waiting.
#pragma once
#include <stdint.h>

enum {
    LINUX_PTRACE_CONT = 7, LINUX_PTRACE_GETREGS = 12, LINUX_PTRACE_SETREGS = 13, LINUX_PTRACE_DETACH = 17,
    LINUX_PTRACE_SYSCALL = 24, LINUX_PTRACE_SEIZE = 0x4206, LINUX_PTRACE_INTERRUPT = 0x4207,
    LINUX_PTRACE_GETSIGMASK = 0x420a, LINUX_PTRACE_SETSIGMASK = 0x420b,
    LINUX_PTRACE_GET_RSEQ_CONFIGURATION = 0x420f, LINUX_PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211,
    LINUX_PTRACE_EVENT_STOP = 128, LINUX_PTRACE_O_TRACESYSGOOD = 1, LINUX_PTRACE_O_SUSPEND_SECCOMP = 1 << 21,
};
struct linux_rseq_configuration { uint64_t pointer; uint32_t size, signature, flags, pad; };
struct linux_dispatch_configuration { uint64_t mode, selector, offset, length; };
// struct user_regs_struct of x86-64
struct linux_registers {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss,
        fs_base, gs_base, ds, es, fs, gs;
};

long linux_ptrace(long request, int pid, unsigned long address, unsigned long data);

// Waits for a stop of a traced thread. An end is answered by -ESRCH and left for the parent to reap, who may be us.
long linux_wait_for_stop(int tid, int *status);

// A timer that sends a signal to one thread over and over, to end its blocking calls with EINTR (a handler without
// SA_RESTART). Used for wait4, which has no timeout; polling it instead lengthened a ptrace stop from 0.1 to 2.4 ms.
long linux_timer_create_for_thread(int tid, int sig);
// First signal after `ns`, then every 20 ms (one signal could come just before the call blocks); 0 disarms.
long linux_timer_arm(long id, long long ns);
void linux_timer_delete(long id);
