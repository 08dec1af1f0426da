// Blocks in one system call over and over and tells if it was ever disturbed: blocking CALL
//
// "ready" when it is about to block. SIGTERM ends it: exit 0 if no call was interrupted, 3 if one was.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void on_term(int s) { (void)s; _exit(0); }
static void disturbed(const char *call) { dprintf(2, "blocking: %s was interrupted\n", call); _exit(3); }
// A call with a timeout may answer that the time is over; one without may not come back at all.
static void timed(const char *call, long r) { if (r < 0 && errno == EINTR) disturbed(call); }
static void forever(const char *call, long r) { (void)r; disturbed(call); }

int main(int argc, char **argv) {
    const char *c = argc > 1 ? argv[1] : "";
    int pair[2], e = epoll_create1(0), p[2], events = eventfd(0, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(p)) return 2;
    struct sigaction a = {.sa_handler = on_term};
    sigaction(SIGTERM, &a, 0);
    struct timeval tv = {0, 40000};
    struct timespec ts = {0, 40000000};
    struct epoll_event ev;
    struct pollfd pf = {p[0], POLLIN, 0};
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, 0);
    int sem = -1, queue = -1;
    if (strstr(c, "sem")) { sem = semget(IPC_PRIVATE, 1, 0600); }
    if (!strcmp(c, "msgrcv")) queue = msgget(IPC_PRIVATE, 0600);
    if (!strcmp(c, "recv_timeout")) setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (!strcmp(c, "waitpid") && fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
    aio_context_t aio = 0;
    if (!strcmp(c, "io_getevents")) syscall(SYS_io_setup, 8, &aio);
    if (write(1, "ready\n", 6) != 6) return 2;
    for (unsigned long n = 0;; n++) {
        char b[64];
        int word = 0;
        struct sembuf op = {0, -1, 0};
        struct io_event io;
        if (!strcmp(c, "epoll_wait")) forever(c, epoll_wait(e, &ev, 1, -1));
        else if (!strcmp(c, "epoll_wait_timeout")) timed(c, epoll_wait(e, &ev, 1, 40));
        else if (!strcmp(c, "epoll_pwait")) timed(c, epoll_pwait(e, &ev, 1, 40, &none));
        else if (!strcmp(c, "poll")) timed(c, poll(&pf, 1, 40));
        else if (!strcmp(c, "ppoll")) timed(c, ppoll(&pf, 1, &ts, &none));
        else if (!strcmp(c, "select")) { tv = (struct timeval){0, 40000}; timed(c, select(0, 0, 0, 0, &tv)); }
        else if (!strcmp(c, "nanosleep")) timed(c, nanosleep(&ts, 0));
        else if (!strcmp(c, "semop")) forever(c, semop(sem, &op, 1));
        else if (!strcmp(c, "semtimedop")) timed(c, semtimedop(sem, &op, 1, &ts));
        else if (!strcmp(c, "sigtimedwait")) timed(c, sigtimedwait(&usr1, 0, &ts));
        else if (!strcmp(c, "sigsuspend")) forever(c, sigsuspend(&none));
        else if (!strcmp(c, "pause")) forever(c, pause());
        else if (!strcmp(c, "recv_timeout")) timed(c, recv(pair[0], b, sizeof b, 0));
        else if (!strcmp(c, "recv")) forever(c, recv(pair[0], b, sizeof b, 0));
        else if (!strcmp(c, "pipe_read")) forever(c, read(p[0], b, sizeof b));
        else if (!strcmp(c, "eventfd_read")) forever(c, read(events, b, 8));
        else if (!strcmp(c, "futex")) timed(c, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, 0, 0));
        else if (!strcmp(c, "msgrcv")) forever(c, msgrcv(queue, b, 8, 0, 0));
        else if (!strcmp(c, "waitpid")) forever(c, waitpid(-1, 0, 0));
        else if (!strcmp(c, "io_getevents")) timed(c, syscall(SYS_io_getevents, aio, 1, 1, &io, &ts));
        else if (!strcmp(c, "spin")) { // registers must not change: a long sum, checked
            unsigned long s = 0;
            for (unsigned long i = 0; i < 3000000; i++) { s = s * 6364136223846793005ul + i; __asm__ volatile("" : "+r"(s)); }
            static unsigned long first;
            if (!first) first = s; else if (s != first) disturbed("a calculation");
        } else if (!strcmp(c, "seccomp")) { // everything but what it uses itself kills the process
            static int set;
            if (!set) {
                set = 1;
                struct sock_filter f[] = {
                    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_nanosleep, 6, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 5, 0),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 4, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 3, 0),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 2, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
                struct sock_fprog prog = {sizeof f / sizeof *f, f};
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) return 2;
            }
            timed(c, nanosleep(&ts, 0));
        } else if (!strcmp(c, "nobody")) {
            if (n == 0 && (setgid(65534) || setuid(65534))) return 2;
            timed(c, epoll_wait(e, &ev, 1, 40));
        } else if (!strcmp(c, "userns")) {
            if (n == 0 && unshare(CLONE_NEWUSER)) return 2;
            timed(c, epoll_wait(e, &ev, 1, 40));
        } else return 2;
    }
}
