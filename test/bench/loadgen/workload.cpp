#include "workload.hpp"

namespace loadgen {

Workload::Workload(const Options& options, std::uint64_t firstByte, std::uint64_t slots, std::uint64_t seed)
    : mode_(options.mode),
      random_(options.random),
      once_(options.once),
      verify_(options.verify),
      readPercent_(options.readPercent),
      blockBytes_(options.blockBytes),
      firstByte_(firstByte),
      slots_(slots),
      state_(seed * 0x9e3779b97f4a7c15 | 1),
      firstGeneration_(options.generation) {
  if (!verify_) return;
  // A read-only check expects what an earlier run wrote everywhere; otherwise nothing is known before it is written.
  generations_.assign(slots, mode_ == Mode::kRead ? firstGeneration_ : 0);
  busy_.assign(slots, false);
}

// xorshift64* (Vigna): uniform enough to choose blocks with, and the same on every machine for one seed.
std::uint64_t Workload::random() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545f4914f6cdd1d;
}

std::uint64_t Workload::chooseSlot() {
  std::uint64_t slot = random_ ? (random() >> 11) % slots_ : position_++ % slots_;
  // There are at least twice as many slots as commands in flight, so a free one is near.
  if (verify_)
    while (busy_[slot]) slot = (slot + 1) % slots_;
  return slot;
}

Operation Workload::next() {
  Operation operation;
  operation.write = mode_ == Mode::kWrite || (mode_ == Mode::kMixed && random() % 100 >= readPercent_);
  operation.slot = chooseSlot();
  operation.byteOffset = firstByte_ + operation.slot * blockBytes_;
  if (!verify_) return operation;
  busy_[operation.slot] = true;
  const std::uint32_t known = generations_[operation.slot];
  operation.generation = operation.write ? (known == 0 ? firstGeneration_ : known + 1) : known;
  return operation;
}

void Workload::finished(const Operation& operation) {
  if (!verify_) return;
  busy_[operation.slot] = false;
  if (operation.write) generations_[operation.slot] = operation.generation;
}

std::optional<Operation> Workload::nextReadBack() {
  while (readBackSlot_ < generations_.size() && generations_[readBackSlot_] == 0) ++readBackSlot_;
  if (readBackSlot_ >= generations_.size()) return std::nullopt;
  Operation operation;
  operation.slot = readBackSlot_++;
  operation.byteOffset = firstByte_ + operation.slot * blockBytes_;
  operation.generation = generations_[operation.slot];
  busy_[operation.slot] = true;
  return operation;
}

}  // namespace loadgen
