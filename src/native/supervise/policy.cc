#include "policy.h"

#include <algorithm>

namespace rackboot::supervise {

void Policy::started(Milliseconds now) {
  running_ = true;
  killed_ = false;
  started_ = now;
}

void Policy::answered(Milliseconds now) {
  if (!serving_) first_answer_ = now;
  serving_ = true;
  failed_ = false;
  last_answer_ = now;
  if (now - first_answer_ >= limits_.recovered) next_delay_ = 0;
}

void Policy::ended(Milliseconds now, bool orderly) {
  running_ = false;
  serving_ = false;
  if (orderly) {
    start_at_ = now;
    return;
  }
  failed_ = true;
  next_delay_ = next_delay_ == 0 ? limits_.first_delay : std::min(2 * next_delay_, limits_.longest_delay);
  start_at_ = now + next_delay_;
}

bool Policy::should_kill(Milliseconds now) {
  const bool hangs = serving_ ? now - last_answer_ > limits_.answer : now - started_ > limits_.start;
  if (!running_ || killed_ || !hangs) return false;
  failed_ = killed_ = true;
  return true;
}

bool Policy::should_feed(Milliseconds now, bool person_is_here) const {
  return person_is_here || now - last_answer_ < limits_.starve;
}

}  // namespace rackboot::supervise
