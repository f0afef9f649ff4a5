#include "plane/ring.h"

#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>

namespace rackboot {
namespace {

constexpr uint32_t kEntries = 512;
constexpr uint32_t kCompletions = 4096;
/// Kernel threads that wait for the disk in a ring's name, and only as many as have something to wait for. A flush holds one until it is
/// over, and the flushes of a device that wait at the same time share its next cache flush: a rack that flushes at once shall not queue up
/// before the kernel's own limit of four a core.
constexpr unsigned kMostWaiting = 64;
constexpr int kSpinsBetweenClocks = 64;
/// A longer wait counts as this one, so that a client that comes back is soon noticed.
constexpr uint64_t kLongestGapNs = 1'000'000;
constexpr uint64_t kSecondNs = 1'000'000'000;

// In the order of preference; each line gives up what older kernels lack.
struct SetupChoice {
  uint32_t flags;
  const char* name;
};
constexpr SetupChoice kSetups[] = {
#ifdef IORING_SETUP_DEFER_TASKRUN
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "deferred task work"},
#endif
    {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "cooperative task work"},
    {0, "plain"},
};

struct Operation {
  int opcode;
  const char* name;
};
constexpr Operation kNeeded[] = {
    {IORING_OP_READ, "read"},       {IORING_OP_WRITE, "write"},     {IORING_OP_FSYNC, "fsync"},
    {IORING_OP_RECVMSG, "recvmsg"}, {IORING_OP_SENDMSG, "sendmsg"}, {IORING_OP_ACCEPT, "accept"},
};

std::string kernelSetting(const char* path) {
  FILE* file = fopen(path, "re");
  if (file == nullptr) return {};
  char text[32] = {};
  const size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  return std::string(text, n > 0 && text[n - 1] == '\n' ? n - 1 : n);
}

std::string refusal(int error) {
  const std::string disabled = kernelSetting("/proc/sys/kernel/io_uring_disabled");
  if (error == EPERM && !disabled.empty() && disabled != "0") {
    return "io_uring is switched off on this system (kernel.io_uring_disabled is " + disabled +
           "). Run: sysctl -w kernel.io_uring_disabled=0";
  }
  if (error == EPERM || error == EACCES) {
    return "this process may not use io_uring. In a container, allow io_uring_setup, io_uring_enter and io_uring_register in its seccomp "
           "profile";
  }
  if (error == ENOSYS) return "this kernel was built without io_uring. Use a kernel with CONFIG_IO_URING=y, 5.19 or later";
  if (error == ENOMEM) return "no memory could be locked for io_uring. Raise the limit: ulimit -l unlimited";
  return std::string("io_uring could not be set up: ") + strerror(error);
}

}  // namespace

uint64_t nowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Ring::~Ring() {
  if (isOpen_) io_uring_queue_exit(&ring_);
}

int Ring::open(std::string& message) {
  int error = 0;
  for (size_t i = 0; i < std::size(kSetups); ++i) {
    io_uring_params parameters{};
    parameters.flags = kSetups[i].flags | IORING_SETUP_CQSIZE;
    parameters.cq_entries = kCompletions;
    error = io_uring_queue_init_params(kEntries, &ring_, &parameters);
    if (error == 0) {
      setup_ = static_cast<uint32_t>(i);
      break;
    }
    if (error != -EINVAL) break;
  }
  if (error != 0) {
    message = refusal(-error);
    return -error;
  }
  isOpen_ = true;
#ifdef IORING_SETUP_DEFER_TASKRUN
  deferred_ = (kSetups[setup_].flags & IORING_SETUP_DEFER_TASKRUN) != 0;
#endif
  io_uring_register_ring_fd(&ring_);
  unsigned most[] = {kMostWaiting, 0};               // for files; 0: the others stay as they are
  io_uring_register_iowq_max_workers(&ring_, most);  // older kernels keep to their own limit
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  std::string lacking;
  for (const Operation& operation : kNeeded) {
    if (probe == nullptr || !io_uring_opcode_supported(probe, operation.opcode)) {
      lacking += (lacking.empty() ? "" : ", ") + std::string(operation.name);
    }
  }
  // A socket operation that came after multishot accept tells that it is there (both are flags, which no probe shows).
  multishotAccept_ = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_SOCKET);
  if (probe != nullptr) io_uring_free_probe(probe);
  if (lacking.empty()) return 0;
  message = "this kernel's io_uring lacks " + lacking + ". Use a newer kernel";
  return ENOSYS;
}

Capabilities Ring::capabilities() {
  Capabilities out;
  utsname name;
  if (uname(&name) == 0) out.kernel = name.release;
  out.features.push_back(kSetups[setup_].name);
  for (const Operation& operation : kNeeded) out.features.push_back(operation.name);
  if (multishotAccept_) {
    out.features.push_back("multishot accept");
  } else {
    out.missing.push_back("multishot accept: each connection costs one more system call");
  }
  if (setup_ > 0) out.missing.push_back(std::string(kSetups[0].name) + ": completions interrupt the data threads");
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC)) out.features.push_back("zero-copy send");
  if (probe == nullptr || !io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC)) {
    out.missing.push_back("zero-copy send: large replies are copied once by the kernel");
  }
  if (probe != nullptr) io_uring_free_probe(probe);
  return out;
}

io_uring_sqe* Ring::entry(Completion* completion) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_sqe_set_data(sqe, completion);
  stats_.entries.add(1);
  return sqe;
}

/// Watches the shared flags, without a system call, for as long as a completion is likely to come soon.
bool Ring::spin() {
  const uint64_t end = nowNs() + spinNs_;
  do {
    for (int i = 0; i < kSpinsBetweenClocks; ++i) {
      if (io_uring_cq_ready(&ring_) > 0) return true;
      if (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      __asm__ volatile("yield");
#endif
    }
  } while (nowNs() < end);
  return false;
}

void Ring::poll() {
#ifdef IORING_SETUP_DEFER_TASKRUN
  if (deferred_) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
#endif
  io_uring_submit(&ring_);
}

void Ring::submit(bool wait, uint64_t timeoutNs) {
  if (!wait) {
    poll();
    roundNs_ = nowNs();
    return;
  }
  const uint64_t start = nowNs();
  bool arrived = false;
  if (gapNs_ <= spinNs_) {
    poll();
    arrived = io_uring_cq_ready(&ring_) > 0 || spin();
    if (arrived && io_uring_cq_ready(&ring_) == 0) poll();
  }
  (arrived ? stats_.spins : stats_.sleeps).add(1);
  io_uring_cqe* cqe = nullptr;
  if (!arrived && timeoutNs > 0) {
    __kernel_timespec timeout{static_cast<long long>(timeoutNs / kSecondNs), static_cast<long long>(timeoutNs % kSecondNs)};
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  } else if (!arrived) {
    io_uring_submit_and_wait(&ring_, 1);
  }
  roundNs_ = nowNs();
  gapNs_ = (7 * gapNs_ + std::min(roundNs_ - start, kLongestGapNs)) / 8;
}

bool Ring::deliver() {
  io_uring_cqe* batch[256];
  const unsigned count = io_uring_peek_batch_cqe(&ring_, batch, std::size(batch));
  for (unsigned i = 0; i < count; ++i) {
    auto* completion = static_cast<Completion*>(io_uring_cqe_get_data(batch[i]));
    const int result = batch[i]->res;
    const bool more = (batch[i]->flags & IORING_CQE_F_MORE) != 0;
    if (completion != nullptr) completion->completed(result, more);
  }
  io_uring_cq_advance(&ring_, count);
  stats_.completions.add(count);
  return count > 0;
}

}  // namespace rackboot
