#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "options.hpp"

namespace loadgen {

// One command's worth of disk, and what is to be done with it.
struct Operation {
  bool write = false;
  std::uint64_t slot = 0;
  std::uint64_t byteOffset = 0;
  // In verify mode: what is written, or what must be found; 0 when nobody knows.
  std::uint32_t generation = 0;
};

// Chooses what one session does next, within a slice of the disk that is its own: sessions never touch one another's
// blocks, so that a check knows what must be there whatever order the target works in.
class Workload {
 public:
  // The slice starts at `firstByte` and has `slots` blocks of options.blockBytes.
  Workload(const Options& options, std::uint64_t firstByte, std::uint64_t slots, std::uint64_t seed);

  // The next operation; in verify mode its slot is not in flight, and stays so until finished() is called for it.
  Operation next();
  void finished(const Operation& operation);
  std::uint64_t slots() const { return slots_; }
  // The session has been everywhere, and asked for no more than that.
  bool done() const { return once_ && position_ >= slots_; }

  // From now on next() gives reads of everything that was written, once; empty at the end.
  void startReadBack() { readBackSlot_ = 0; }
  std::optional<Operation> nextReadBack();

 private:
  std::uint64_t random();
  std::uint64_t chooseSlot();

  Mode mode_;
  bool random_;
  bool once_;
  bool verify_;
  std::uint32_t readPercent_;
  std::uint64_t blockBytes_;
  std::uint64_t firstByte_;
  std::uint64_t slots_;
  std::uint64_t state_;
  std::uint64_t position_ = 0;
  std::uint64_t readBackSlot_ = 0;
  std::uint32_t firstGeneration_;
  // Verify mode only: the generation that the slot has (0: unknown), and whether a command is in flight on it.
  std::vector<std::uint32_t> generations_;
  std::vector<bool> busy_;
};

}  // namespace loadgen
