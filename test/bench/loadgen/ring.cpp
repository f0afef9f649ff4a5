#include "ring.hpp"

#include <cstring>
#include <ctime>

namespace loadgen {

std::uint64_t nowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

Ring::Ring(std::uint32_t entries, std::uint32_t spinMicroseconds) : entries_(entries), spinNs_(std::uint64_t{spinMicroseconds} * 1000) {
  int error = io_uring_queue_init(entries, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (error == -EINVAL) error = io_uring_queue_init(entries, &ring_, 0);
  if (error < 0) throw RunError(std::string("io_uring: ") + std::strerror(-error) + " (see /proc/sys/kernel/io_uring_disabled)");
}

io_uring_sqe* Ring::request() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe != nullptr) return sqe;
  io_uring_submit(&ring_);
  sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) throw RunError("io_uring: the submission queue stays full");
  return sqe;
}

void Ring::wait(std::uint64_t waitNs) {
  io_uring_cqe* cqe = nullptr;
  if (spinNs_ > 0) {
    io_uring_submit(&ring_);
    // A wait without time runs what the kernel deferred to us, and comes back.
    for (const std::uint64_t until = nowNs() + spinNs_; nowNs() < until;) {
      __kernel_timespec none{};
      if (io_uring_wait_cqe_timeout(&ring_, &cqe, &none) == 0) return;
    }
  }
  __kernel_timespec timeout{};
  timeout.tv_sec = static_cast<std::int64_t>(waitNs / 1'000'000'000);
  timeout.tv_nsec = static_cast<long long>(waitNs % 1'000'000'000);
  const int error = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  if (error < 0 && error != -ETIME && error != -EINTR && error != -EAGAIN)
    throw RunError(std::string("io_uring: ") + std::strerror(-error));
}

}  // namespace loadgen
