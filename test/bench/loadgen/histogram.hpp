#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace loadgen {

// Latencies in nanoseconds, log-linear: 64 steps to each power of two, so a value is off by less than 2 %.
class Histogram {
 public:
  void record(std::uint64_t ns) {
    ++counts_[indexOf(ns)];
    ++total_;
    sum_ += ns;
    if (ns > max_) max_ = ns;
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ += other.sum_;
    if (other.max_ > max_) max_ = other.max_;
  }

  // The latency that `fraction` of all operations did not exceed; 0 when there are none.
  std::uint64_t percentile(double fraction) const {
    if (total_ == 0) return 0;
    auto rank = static_cast<std::uint64_t>(fraction * static_cast<double>(total_));
    if (rank >= total_) rank = total_ - 1;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank) return upperBound(i) < max_ ? upperBound(i) : max_;
    }
    return max_;
  }

  std::uint64_t count() const { return total_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return total_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(total_); }

 private:
  static constexpr unsigned kStepBits = 6;
  static constexpr std::uint64_t kSteps = 1u << kStepBits;

  static std::size_t indexOf(std::uint64_t ns) {
    if (ns < kSteps) return static_cast<std::size_t>(ns);
    const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - kStepBits - 1;
    return static_cast<std::size_t>((shift + 1) * kSteps + (ns >> shift) - kSteps);
  }
  static std::uint64_t upperBound(std::size_t index) {
    if (index < kSteps) return index;
    const std::size_t shift = index / kSteps - 1;
    return ((index % kSteps + kSteps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kStepBits + 1) * kSteps> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace loadgen
