#pragma once

#include <liburing.h>

#include <cstdint>

#include "options.hpp"

namespace loadgen {

std::uint64_t nowNs();

// An io_uring of one thread, with the cheapest set-up that the kernel has.
class Ring {
 public:
  Ring(std::uint32_t entries, std::uint32_t spinMicroseconds);
  ~Ring() { io_uring_queue_exit(&ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // A request to fill in. Submits when the queue is full.
  io_uring_sqe* request();
  // Submits, and waits for something or for `waitNs`; polls first for as long as the person allowed.
  void wait(std::uint64_t waitNs);

  // Gives each completion, once; `each(data, result, flags)` may make new requests.
  template <typename Each>
  unsigned completions(Each each) {
    unsigned seen = 0;
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0) {
      const std::uint64_t data = cqe->user_data;
      const int result = cqe->res;
      const unsigned flags = cqe->flags;
      io_uring_cqe_seen(&ring_, cqe);
      each(data, result, flags);
      // One turn is bounded by the queue, so that time and bounds are looked at again.
      if (++seen >= entries_) break;
    }
    return seen;
  }

 private:
  io_uring ring_{};
  std::uint32_t entries_;
  std::uint64_t spinNs_;
};

}  // namespace loadgen
