// What commands did to a volume, or for a machine: counted by one thread, read by any.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rackboot {

/// Counted by one thread, read by any.
class Counter {
 public:
  void add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void subtract(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

enum class Booked : uint8_t { read, write, flush };
constexpr size_t kBooked = 3;

/// The first bucket ends here, each further one at twice the time of the one before, the last one never (LATENCY_SECONDS in
/// data-plane.ts).
constexpr uint64_t kFirstBucketUs = 32;
constexpr size_t kLatencyBuckets = 18;

/// From the arrival of a command to its answer. One addition to one bucket a command; whoever reads makes sums of them.
class Latencies {
 public:
  void add(uint64_t ns) {
    const uint64_t us = ns / 1000;
    const auto bucket = static_cast<size_t>(std::bit_width(us / kFirstBucketUs));
    buckets_[std::min(bucket, kLatencyBuckets - 1)].add(1);
    totalNs_.add(ns);
  }
  uint64_t bucket(size_t index) const { return buckets_[index].get(); }
  uint64_t totalNs() const { return totalNs_.get(); }

 private:
  std::array<Counter, kLatencyBuckets> buckets_;
  Counter totalNs_;
};

struct alignas(64) IoStats {
  Counter readOps, readBytes, borrowedBytes, writeOps, writeBytes, flushOps, errors, readErrors;
  /// Commands that were begun, and those of them that are over: what lies between is the queue.
  Counter begun, ended;
  std::array<Latencies, kBooked> latencies;
};

}  // namespace rackboot
