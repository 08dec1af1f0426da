// userfaultfd(2) (linux/userfaultfd.h).
#pragma once
#include <stdint.h>

// System calls that are made inside another process.
extern const long LINUX_SYS_USERFAULTFD, LINUX_SYS_CLOSE;
long linux_userfaultfd(int flags);

// Requests; _IOWR(0xaa, ...)
static const unsigned long LINUX_UFFDIO_API = 0xc018aa3f, LINUX_UFFDIO_REGISTER = 0xc020aa00, LINUX_UFFDIO_UNREGISTER = 0x8010aa01,
    LINUX_UFFDIO_WAKE = 0x8010aa02, LINUX_UFFDIO_COPY = 0xc028aa03, LINUX_UFFDIO_ZEROPAGE = 0xc020aa04,
    LINUX_UFFDIO_WRITEPROTECT = 0xc018aa06;
static const uint64_t LINUX_UFFD_API = 0xaa;

struct linux_uffdio_api { uint64_t api, features, ioctls; };
struct linux_uffdio_range { uint64_t start, length; };
struct linux_uffdio_register { struct linux_uffdio_range range; uint64_t mode, ioctls; };
struct linux_uffdio_copy { uint64_t target, source, length, mode; int64_t copied; };
struct linux_uffdio_zeropage { struct linux_uffdio_range range; uint64_t mode; int64_t zeroed; };
struct linux_uffdio_writeprotect { struct linux_uffdio_range range; uint64_t mode; };

// One struct uffd_msg, taken apart without its anonymous unions.
struct linux_uffd_event {
    uint32_t kind;            // UFFD_EVENT_*
    uint64_t flags;           // pagefault: UFFD_PAGEFAULT_FLAG_*
    uint64_t address;         // pagefault
    uint32_t child;           // fork: descriptor of the child's userfaultfd
    uint64_t from, to, length; // remap: from, to, length; remove and unmap: from (start), to (end)
};
static const unsigned long LINUX_UFFD_MESSAGE_SIZE = 32;

// As the kernel lays a message out: the kind in the first byte, the argument's words from byte 8 on.
struct linux_uffd_message { uint8_t kind, unused[7]; uint64_t argument[3]; };
static inline struct linux_uffd_event linux_uffd_decode(const void *message) {
    const struct linux_uffd_message *m = (const struct linux_uffd_message *)message;
    const uint64_t *a = m->argument;
    struct linux_uffd_event e = {.kind = m->kind};
    switch (m->kind) {
    case 0x12 /* PAGEFAULT */: e.flags = a[0]; e.address = a[1]; break;
    case 0x13 /* FORK */: e.child = (uint32_t)a[0]; break;
    case 0x14 /* REMAP */: e.from = a[0]; e.to = a[1]; e.length = a[2]; break;
    default: e.from = a[0]; e.to = a[1]; break;
    }
    return e;
}
