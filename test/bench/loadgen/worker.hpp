#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "portal.hpp"
#include "session.hpp"

namespace loadgen {

// Where the whole run is; the main thread moves it on, the workers look at it once a turn.
enum class Moment : int { kWarmUp, kMeasure, kStop };

// One thread: a ring, and the sessions that live on it.
class Worker {
 public:
  Worker(const Options& options, const std::atomic<Moment>& moment, std::uint64_t operations);
  ~Worker();

  // Portals must be logged in. Called before run().
  void add(std::unique_ptr<Portal> portal, std::uint32_t lun, std::uint32_t blockBytes, Workload workload);

  // Loads the target until the moment is kStop or the operations are done, drains, reads back, logs out.
  // Never throws: what went wrong is in error().
  void run();

  const Totals& totals() const { return totals_; }
  const Measured& measured() const { return measured_; }
  const std::string& error() const { return error_; }
  bool loadDone() const { return loadDone_.load(std::memory_order_acquire); }

 private:
  struct Line;

  void loop();
  void turn(Session::Phase phase);
  void flush(std::size_t index);
  void startReceive(std::size_t index, bool pollFirst);
  void completed(std::uint64_t data, int result, unsigned flags, std::uint64_t now);
  std::uint32_t inFlight() const;
  void watch(std::uint64_t now) const;

  const Options& options_;
  const std::atomic<Moment>& moment_;
  std::uint64_t budget_;
  Totals totals_;
  Measured measured_;
  std::string error_;
  std::atomic<bool> loadDone_{false};
  std::vector<std::unique_ptr<Line>> lines_;
  std::unique_ptr<class Ring> ring_;
  std::vector<std::size_t> touched_;
  bool closing_ = false;
};

}  // namespace loadgen
