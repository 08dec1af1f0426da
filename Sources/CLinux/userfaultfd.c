#include "system.h"
#include "linux_userfaultfd.h"
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>

#ifndef SYS_userfaultfd
#define SYS_userfaultfd 323
#endif

const long LINUX_SYS_USERFAULTFD = SYS_userfaultfd, LINUX_SYS_CLOSE = SYS_close;
long linux_userfaultfd(int flags) { long r = syscall(SYS_userfaultfd, flags); return RESULT(r); }

SAME(LINUX_UFFDIO_API, UFFDIO_API);
SAME(LINUX_UFFDIO_REGISTER, UFFDIO_REGISTER);
SAME(LINUX_UFFDIO_UNREGISTER, UFFDIO_UNREGISTER);
SAME(LINUX_UFFDIO_WAKE, UFFDIO_WAKE);
SAME(LINUX_UFFDIO_COPY, UFFDIO_COPY);
SAME(LINUX_UFFDIO_ZEROPAGE, UFFDIO_ZEROPAGE);
SAME(LINUX_UFFDIO_WRITEPROTECT, UFFDIO_WRITEPROTECT);
SAME(LINUX_UFFD_API, UFFD_API);
// The requests' numbers hold their structures' sizes.
SAME(sizeof(struct linux_uffdio_api), sizeof(struct uffdio_api));
SAME(sizeof(struct linux_uffdio_range), sizeof(struct uffdio_range));
SAME(sizeof(struct linux_uffdio_register), sizeof(struct uffdio_register));
SAME(sizeof(struct linux_uffdio_copy), sizeof(struct uffdio_copy));
SAME(sizeof(struct linux_uffdio_zeropage), sizeof(struct uffdio_zeropage));
SAME(sizeof(struct linux_uffdio_writeprotect), sizeof(struct uffdio_writeprotect));
SAME_FIELD(struct linux_uffdio_register, mode, struct uffdio_register, mode);
SAME_FIELD(struct linux_uffdio_copy, target, struct uffdio_copy, dst);
SAME_FIELD(struct linux_uffdio_copy, source, struct uffdio_copy, src);
SAME_FIELD(struct linux_uffdio_copy, copied, struct uffdio_copy, copy);
SAME_FIELD(struct linux_uffdio_zeropage, zeroed, struct uffdio_zeropage, zeropage);
SAME(LINUX_UFFD_MESSAGE_SIZE, sizeof(struct uffd_msg));
SAME(sizeof(struct linux_uffd_message), sizeof(struct uffd_msg));
SAME(offsetof(struct linux_uffd_message, argument[0]), offsetof(struct uffd_msg, arg.pagefault.flags));
SAME(offsetof(struct linux_uffd_message, argument[1]), offsetof(struct uffd_msg, arg.pagefault.address));
SAME(offsetof(struct linux_uffd_message, argument[0]), offsetof(struct uffd_msg, arg.fork.ufd));
SAME(offsetof(struct linux_uffd_message, argument[2]), offsetof(struct uffd_msg, arg.remap.len));
SAME(offsetof(struct linux_uffd_message, argument[1]), offsetof(struct uffd_msg, arg.remove.end));
SAME(UFFD_EVENT_PAGEFAULT, 0x12);
SAME(UFFD_EVENT_FORK, 0x13);
SAME(UFFD_EVENT_REMAP, 0x14);
