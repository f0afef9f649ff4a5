// PDUs on their way out of one connection, in the order that gave them their StatSN.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "iscsi/pdu.h"
#include "storage/buffers.h"

namespace rackboot {

/// One PDU: its header here, its data segment in a pool buffer (or in `own`), never copied.
struct OutPdu {
  OutPdu* next = nullptr;
  uint8_t header[kBhsBytes + kDigestBytes];
  uint8_t trailer[3 + kDigestBytes];  // padding and data digest
  uint8_t headerLength = kBhsBytes;
  uint8_t trailerLength = 0;
  const uint8_t* data = nullptr;
  uint32_t dataLength = 0;
  BufferRef buffer;            // keeps `data` alive
  std::vector<uint8_t> own;    // or this does
  std::vector<uint8_t> extra;  // additional header segments, with the header digest behind
  uint32_t bytes() const { return static_cast<uint32_t>(headerLength + extra.size() + dataLength + trailerLength); }
};

class SendQueue {
 public:
  SendQueue() = default;
  ~SendQueue();
  SendQueue(const SendQueue&) = delete;
  SendQueue& operator=(const SendQueue&) = delete;

  void useDigests(bool header, bool data) {
    headerDigest_ = header;
    dataDigest_ = data;
  }
  /// A PDU with a header of zeros, to be filled in and given to push().
  OutPdu* make();
  /// Sets the data length, pads, and digests.
  void push(OutPdu* pdu);
  /// As it is, of `header` (with additional header segments) and `data`: what TypeScript has composed.
  void push(std::vector<uint8_t> header, std::vector<uint8_t> data);

  bool empty() const { return head_ == nullptr; }
  uint64_t bytes() const { return bytes_; }
  /// The next octets to send, in at most `limit` pieces and about `most` octets; they stay valid until consume().
  size_t gather(iovec* out, size_t limit, uint64_t most) const;
  /// The first `n` octets are sent.
  void consume(uint64_t n);
  /// Forgets what has not been sent. Nothing may be in flight.
  void clear();

 private:
  void recycle(OutPdu* pdu);

  OutPdu* head_ = nullptr;
  OutPdu* tail_ = nullptr;
  OutPdu* free_ = nullptr;
  uint32_t freeCount_ = 0;
  uint64_t bytes_ = 0;
  uint64_t headSent_ = 0;
  bool headerDigest_ = false;
  bool dataDigest_ = false;
};

}  // namespace rackboot
