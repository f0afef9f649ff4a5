// Cuts the octets of a connection into PDUs (RFC 7143, 11.2), and lets a data segment be received straight into its place.
#pragma once

#include <sys/uio.h>

#include <cstdint>

#include "iscsi/pdu.h"
#include "storage/buffers.h"

namespace rackboot {

/// What a connection receives into while no data segment has a place: room for a queue of commands, or a few with data.
constexpr uint32_t kReceiveBytes = 32 * 1024;

/// Where a data segment goes.
struct Placement {
  enum Kind : uint8_t {
    store,  // to `at`, which holds the whole segment
    keep,   // it stays where it was received, in the buffer that was offered
    discard,
    stall,   // no room now: ask again later, with nothing consumed
    refuse,  // the peer broke the rules: the connection ends
  };
  Kind kind = discard;
  uint8_t* at = nullptr;
};

/// A data segment that arrived whole with its header. Who keeps a reference may use it where it lies.
struct Received {
  const BufferRef* buffer = nullptr;  // null: not all of it is here
  uint8_t* data = nullptr;
};

class PduSink {
 public:
  /// A header (with `ahsBytes` of additional segments behind it) is here. Called again after `stall`.
  virtual Placement place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) = 0;
  /// All of the PDU is here. False: stop parsing for now.
  virtual bool whole(const uint8_t* header) = 0;

 protected:
  ~PduSink() = default;
};

class Framer {
 public:
  enum class Verdict : uint8_t { needMore, stalled, stopped, refused, headerDigest, dataDigest };

  explicit Framer(BufferPool& pool) : pool_(pool) {}

  void useDigests(bool header, bool data) {
    headerDigest_ = header ? kDigestBytes : 0;
    dataDigest_ = data;
  }

  /// Where the next octets go: first what is missing of a data segment, then the buffer. `exact` stops at the end of the next
  /// header, so that the data segment behind it is not received into the wrong place. Returns the number of vectors; 0 where
  /// memory is out.
  int prepare(iovec out[2], bool exact);
  /// `n` octets went there.
  void commit(uint32_t n);
  /// Parses what is here.
  Verdict advance(PduSink& sink);

  /// Payload octets that were copied because they had arrived before their place was known.
  uint64_t copiedBytes() const { return copied_; }
  /// Of the PDU at hand.
  const uint8_t* header() const { return header_; }

 private:
  enum class State : uint8_t { header, placing, data, trailer };
  uint32_t buffered() const { return end_ - begin_; }
  uint8_t* at() const { return buffer_.data() + begin_; }
  bool readHeader(Verdict& verdict);
  bool placeData(PduSink& sink, Verdict& verdict);
  bool readData();
  bool readTrailer(Verdict& verdict);
  bool makeRoom();

  BufferPool& pool_;
  BufferRef buffer_;
  uint32_t begin_ = 0, end_ = 0;
  State state_ = State::header;
  uint8_t header_[kBhsBytes + kLongestAhs];
  uint32_t ahsBytes_ = 0;
  uint32_t dataLength_ = 0;
  uint32_t missing_ = 0;        // of the data segment
  uint8_t* segment_ = nullptr;  // its first octet; null where it is discarded
  uint32_t headerDigest_ = 0;   // octets
  bool dataDigest_ = false;
  uint64_t copied_ = 0;
};

}  // namespace rackboot
