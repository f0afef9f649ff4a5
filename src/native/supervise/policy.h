// When the daemon is started, killed and told to be dead, and when the watchdog is fed: decisions over a clock, without I/O.
#pragma once

#include <cstdint>

namespace rackboot::supervise {

using Milliseconds = int64_t;

struct Limits {
  // One that answered before is killed when it has not for this long; one that starts may have a long journal to read first.
  Milliseconds answer = 60'000;
  Milliseconds start = 600'000;
  Milliseconds first_delay = 1'000;
  Milliseconds longest_delay = 60'000;
  // Who has answered for this long has recovered: the next end is a first one again.
  Milliseconds recovered = 60'000;
  // Without an answer for this long and with nobody logged in, the watchdog starves and the board starts anew. It is longer than a
  // start may take, and than a person needs from seeing the light to typing on the console.
  Milliseconds starve = 900'000;
};

// `now` is monotonic and never goes back.
class Policy {
 public:
  Policy(const Limits& limits, Milliseconds now) : limits_(limits), last_answer_(now), start_at_(now) {}

  // There is no daemon, and it is time for one.
  [[nodiscard]] bool should_start(Milliseconds now) const { return !running_ && now >= start_at_; }
  void started(Milliseconds now);
  void answered(Milliseconds now);
  // `orderly`: it was asked to end, by its own operation or by a signal of ours, and starts again at once.
  void ended(Milliseconds now, bool orderly);

  // Once for each that hangs.
  bool should_kill(Milliseconds now);
  // It answers as far as anybody knows.
  [[nodiscard]] bool serving() const { return serving_; }
  // Nobody shows lamps any more.
  [[nodiscard]] bool dead() const { return failed_; }
  [[nodiscard]] bool should_feed(Milliseconds now, bool person_is_here) const;
  // Until the next start, for the log.
  [[nodiscard]] Milliseconds delay(Milliseconds now) const { return start_at_ > now ? start_at_ - now : 0; }

 private:
  Limits limits_;
  bool running_ = false;
  bool serving_ = false;
  // It ended by itself or hung, and has not answered since.
  bool failed_ = false;
  bool killed_ = false;
  Milliseconds started_ = 0;
  Milliseconds first_answer_ = 0;
  Milliseconds last_answer_;
  Milliseconds start_at_;
  Milliseconds next_delay_ = 0;
};

}  // namespace rackboot::supervise
