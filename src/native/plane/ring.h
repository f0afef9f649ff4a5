// One thread's io_uring: what the kernel offers is probed, not guessed from its version.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <string>
#include <vector>

#include "completion.h"

namespace rackboot {

/// What the kernel offers; see RingCapabilities in data-plane.ts.
struct Capabilities {
  std::string kernel;
  std::vector<std::string> features;
  std::vector<std::string> missing;
};

class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// On the thread that will use it. Returns an errno, with a sentence and its next step in `message`.
  int open(std::string& message);
  Capabilities capabilities();

  /// An entry to be filled in; its completion goes to `completion`, or to nobody.
  io_uring_sqe* entry(Completion* completion);
  /// Submits, and waits for a completion if `wait` says so: at most `timeoutNs` (0: without end).
  void submit(bool wait, uint64_t timeoutNs);
  /// Hands completions out; true when there was one.
  bool deliver();
  bool multishotAccept() const { return multishotAccept_; }

 private:
  void poll();
  bool spin();

  io_uring ring_{};
  bool isOpen_ = false;
  bool deferred_ = false;  // completions are only made when this thread asks for them
  bool multishotAccept_ = false;
  uint32_t setup_ = 0;
  uint64_t gapNs_ = 1'000'000;  // moving average of the time that waits took
};

/// CLOCK_MONOTONIC, nanoseconds.
uint64_t nowNs();

}  // namespace rackboot
