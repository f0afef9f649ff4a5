// A SCSI command in execution, and the pieces that its data moves in.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "events.h"
#include "iscsi/pdu.h"
#include "scsi/commands.h"
#include "storage/buffers.h"
#include "storage/io.h"

namespace rackboot {

struct Task;

/// One stretch of a task's data with a buffer: what a READ fetches at once, one unsolicited burst, or what one R2T asked for.
struct Piece final : IoRequest {
  Task* task = nullptr;
  Piece* next = nullptr;
  BufferRef buffer;  // none while its data is thrown away
  Purpose purpose = Purpose::receive;
  uint32_t reserved = 0;  // octets that count against the share of this session in the buffers for `purpose`
  uint32_t start = 0;     // offset in the task's data
  uint32_t expected = 0;  // octets that the initiator may send for it
  uint32_t received = 0;
  uint32_t ttt = kNoTag;   // kNoTag: unsolicited
  uint32_t dataSn = 0;     // of the next Data-Out
  bool complete = false;   // all that the initiator sends for it is here
  bool arriving = false;   // a Data-Out of it is being received: its buffer must stay
  bool submitted = false;  // its I/O is under way
  // In the session's line of work (medium.cc):
  bool working = false;
  bool filled = false;  // the scratch buffer holds its pattern
  bool holdsLock = false;
  uint8_t phase = 0;                 // of COMPARE AND WRITE
  uint64_t cursor = 0;               // octets that are done, of its data or of one stretch
  const uint8_t* payload = nullptr;  // what the initiator sent
};

struct Lun {
  uint32_t number = 0;
  VolumeViewRef view;
  bool readOnly = false;
  std::vector<Sense> attentions;
};

/// A range of a volume, octets.
struct Stretch {
  uint64_t offset = 0;
  uint64_t length = 0;
};

enum class Work : uint8_t { none, begun, done };

struct Task {
  TaskId id = 0;
  uint64_t arrivedNs = 0;
  uint32_t itt = 0;
  uint32_t cmdSn = 0;
  bool immediate = false;
  bool reads = false;   // the R bit
  bool writes = false;  // the W bit
  bool delivered = false;
  bool aborted = false;
  bool passedUp = false;
  bool counted = false;          // it is in the queue depth of its volume
  bool queued = false;           // waits in one of the session's queues
  bool unsolicitedEnded = true;  // no further unsolicited Data-Out comes
  bool leftWindow = false;       // its place in the command window is free again
  bool fua = false;
  bool needsFlush = false;  // fua, and written in more than one piece
  uint32_t lunNumber = 0;
  uint8_t lunField[8] = {};
  VolumeViewRef view;
  std::array<uint8_t, 16> cdb{};
  std::vector<uint8_t> cdbRest;  // octets behind the sixteenth (RFC 7143, 11.2.2.3)
  CommandKind kind = CommandKind::passUp;
  uint32_t edtl = 0;      // expected data transfer length
  uint64_t offset = 0;    // in the volume, octets
  uint64_t length = 0;    // what the CDB asks for, octets
  uint64_t span = 0;      // of the volume, where that is not what is transferred
  uint32_t transfer = 0;  // what moves: the smaller of the two
  uint32_t assigned = 0;  // octets that pieces stand for so far
  uint32_t moved = 0;     // octets written, gathered, or handed to the send queue
  uint32_t outstandingR2t = 0;
  uint32_t r2tSn = 0;
  uint32_t dataSn = 0;
  uint32_t ioInFlight = 0;
  Outcome outcome;
  std::vector<uint8_t> gathered;  // data-out of a command that needs all of it at once
  ByteCheck check = ByteCheck::none;
  Work work = Work::none;
  IoKind method = IoKind::punch;   // how stretches are cleared, or filled with `gathered`
  std::vector<Stretch> stretches;  // of UNMAP and WRITE SAME
  size_t stretch = 0;              // the one that is worked on
  Piece* pieces = nullptr;
  BarrierRef barrier;  // a reset that waits for its I/O
  Task* nextInBucket = nullptr;
};

/// Tasks by initiator task tag.
class TaskTable {
 public:
  Task* find(uint32_t itt) const {
    Task* task = buckets_[hash(itt)];
    while (task != nullptr && task->itt != itt) task = task->nextInBucket;
    return task;
  }
  void insert(Task* task) {
    Task*& head = buckets_[hash(task->itt)];
    task->nextInBucket = head;
    head = task;
    ++size_;
  }
  void remove(Task* task) {
    Task** at = &buckets_[hash(task->itt)];
    while (*at != task) at = &(*at)->nextInBucket;
    *at = task->nextInBucket;
    --size_;
  }
  /// All of them, in no order; the list stays valid while tasks are removed.
  std::vector<Task*> all() const {
    std::vector<Task*> out;
    out.reserve(size_);
    for (Task* head : buckets_) {
      for (Task* task = head; task != nullptr; task = task->nextInBucket) out.push_back(task);
    }
    return out;
  }
  uint32_t size() const { return size_; }

 private:
  static size_t hash(uint32_t itt) { return (itt ^ itt >> 8 ^ itt >> 16 ^ itt >> 24) & 0xff; }
  std::array<Task*, 256> buckets_{};
  uint32_t size_ = 0;
};

}  // namespace rackboot
