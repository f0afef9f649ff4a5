#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstdint>
#include <initializer_list>

namespace rackboot::look {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr uint32_t kArchitecture = AUDIT_ARCH_RISCV64;
#else
#error "add the AUDIT_ARCH_ value of this architecture"
#endif

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kAsk = SECCOMP_RET_USER_NOTIF;
constexpr uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
constexpr uint32_t refuse(int error) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
}

// These change nothing outside the process.
constexpr int kAllowed[] = {
    SYS_read,          SYS_close,        SYS_brk,          SYS_munmap,       SYS_mremap,          SYS_madvise,
    SYS_fstat,         SYS_exit,         SYS_exit_group,   SYS_rt_sigreturn, SYS_rt_sigaction,    SYS_rt_sigprocmask,
    SYS_futex,         SYS_getrandom,    SYS_rseq,         SYS_sched_yield,  SYS_set_tid_address, SYS_set_robust_list,
    SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_uname,        SYS_restart_syscall, SYS_getuid,
    SYS_geteuid,       SYS_getgid,       SYS_getegid,      SYS_getpid,       SYS_gettid,          SYS_pipe2,
    SYS_ppoll,
#ifdef SYS_arch_prctl
    SYS_arch_prctl,
#endif
#ifdef SYS_time
    SYS_time,
#endif
#ifdef SYS_poll
    SYS_poll,          SYS_pipe,
#endif
};

// A path, a position on the disk, or a program: the supervisor looks at the argument itself.
constexpr int kAsked[] = {
    SYS_execve, SYS_openat, SYS_lseek,    SYS_pread64, SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_faccessat2, SYS_readlinkat,
#ifdef SYS_open
    SYS_open,   SYS_access, SYS_readlink,
#endif
};

constexpr int kKilled[] = {
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept4,
    SYS_sendto,
    SYS_sendmsg,
    SYS_clone,
    SYS_clone3,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kill,
    SYS_tkill,
    SYS_bpf,
    SYS_io_uring_setup,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    SYS_memfd_create,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_ftruncate,
    SYS_truncate,
    SYS_open_by_handle_at,
    SYS_seccomp,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
    SYS_creat,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
#endif
};

// Offsets of the low and high half of argument `index` (both supported byte orders of seccomp_data are little-endian here).
constexpr uint32_t low_half(int index) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(index));
}
constexpr uint32_t high_half(int index) {
  return low_half(index) + 4;
}

constexpr sock_filter load(uint32_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}
constexpr sock_filter answer(uint32_t action) {
  return BPF_STMT(BPF_RET | BPF_K, action);
}
constexpr sock_filter unless_equal(uint32_t value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}
constexpr sock_filter if_equal(uint32_t value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, skip, 0);
}
constexpr sock_filter if_any_bit(uint32_t bits, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, skip, 0);
}

// `body` decides `call` for good: it ends in an answer on every path. The accumulator may be anything afterwards, since a
// call that did not match skips the body and so keeps the call's number there.
void decide(std::vector<sock_filter>& program, int call, std::initializer_list<sock_filter> body) {
  program.push_back(unless_equal(static_cast<uint32_t>(call), static_cast<uint8_t>(body.size())));
  program.insert(program.end(), body);
}

}  // namespace

std::vector<sock_filter> build_filter() {
  std::vector<sock_filter> program;
  program.push_back(load(offsetof(seccomp_data, arch)));
  program.push_back(if_equal(kArchitecture, 1));
  program.push_back(answer(kKill));
  program.push_back(load(offsetof(seccomp_data, nr)));
#if defined(__x86_64__)
  // The x32 calls have numbers of their own for everything.
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
  program.push_back(answer(kKill));
#endif
  for (int call : kAllowed) decide(program, call, {answer(kAllow)});
  for (int call : kAsked) decide(program, call, {answer(kAsk)});
  for (int call : {SYS_write, SYS_writev}) {
    decide(program, call, {load(low_half(0)), if_equal(1, 2), if_equal(2, 1), answer(refuse(EBADF)), answer(kAllow)});
  }
  // Memory without a file behind it is the process's own affair. A file's, or one that can be executed, is the loader's.
  decide(program, SYS_mmap,
         {load(low_half(2)), if_any_bit(PROT_EXEC, 2), load(low_half(3)), if_any_bit(MAP_ANONYMOUS, 1), answer(kAsk), answer(kAllow)});
  decide(program, SYS_mprotect, {load(low_half(2)), if_any_bit(PROT_EXEC, 1), answer(kAllow), answer(kAsk)});
  // Asking for a limit, never setting one.
  decide(program, SYS_prlimit64,
         {load(low_half(2)), unless_equal(0, 3), load(high_half(2)), unless_equal(0, 1), answer(kAllow), answer(refuse(EPERM))});
  // A program that unpacks makes the pipe to itself that ends its waiting non-blocking; whom a descriptor signals is not its to say.
  decide(program, SYS_fcntl, {load(low_half(1)), if_equal(F_GETFL, 2), if_equal(F_SETFL, 1), answer(refuse(EPERM)), answer(kAllow)});
  // The size of a block device; everything else is "not a terminal".
  decide(program, SYS_ioctl, {load(low_half(1)), if_equal(static_cast<uint32_t>(BLKGETSIZE64), 1), answer(refuse(ENOTTY)), answer(kAllow)});
  // An opened directory has no entries: readdir takes ENOENT for the end.
  decide(program, SYS_getdents64, {answer(refuse(ENOENT))});
  decide(program, SYS_statfs, {answer(refuse(ENOENT))});
  for (int call : kKilled) decide(program, call, {answer(kKill)});
  program.push_back(answer(refuse(EPERM)));
  return program;
}

}  // namespace rackboot::look
