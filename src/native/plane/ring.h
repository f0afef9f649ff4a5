// One thread's io_uring: what the kernel offers is probed, not guessed from its version.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <string>
#include <vector>

#include "completion.h"
#include "storage/io-stats.h"

namespace rackboot {

/// What the kernel offers; see RingCapabilities in data-plane.ts.
struct Capabilities {
  std::string kernel;
  std::vector<std::string> features;
  std::vector<std::string> missing;
};

struct RingStats {
  Counter entries, completions;
  /// How waits ended that had to be: by a completion that came while spinning, or by sleeping until one came.
  Counter spins, sleeps;
};

/// A client that answers at once is back within this; a sleep would cost it more.
constexpr uint64_t kUsualSpinNs = 40'000;

class Ring {
 public:
  /// Waits that were on average shorter than `spinNs` are spun through, and no spin is longer: an idle thread sleeps. 0: none is.
  explicit Ring(uint64_t spinNs) : spinNs_(spinNs) {}
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
  /// When the completions came that are being delivered, as well as it is known.
  uint64_t roundNs() const { return roundNs_; }
  const RingStats& stats() const { return stats_; }

 private:
  void poll();
  bool spin();

  io_uring ring_{};
  bool isOpen_ = false;
  bool deferred_ = false;  // completions are only made when this thread asks for them
  bool multishotAccept_ = false;
  uint32_t setup_ = 0;
  const uint64_t spinNs_;
  uint64_t roundNs_ = 0;
  RingStats stats_;
  uint64_t gapNs_ = 1'000'000;  // moving average of the time that waits took
};

/// CLOCK_MONOTONIC, nanoseconds.
uint64_t nowNs();

}  // namespace rackboot
