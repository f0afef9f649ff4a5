#include "iscsi/framer.h"

#include <algorithm>
#include <cstring>

#include "storage/crc32c.h"

namespace rackboot {
namespace {

/// With less room than this behind data that is still in use, a new buffer is taken.
constexpr uint32_t kLeastRoom = 8 * 1024;

uint32_t getDigest(const uint8_t* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

}  // namespace

bool Framer::makeRoom() {
  if (buffer_ && !buffer_.shared()) {
    if (begin_ > 0) {
      memmove(buffer_.data(), at(), buffered());
      end_ -= begin_;
      begin_ = 0;
    }
    return true;
  }
  if (buffer_ && buffer_.capacity() - end_ >= kLeastRoom) return true;
  // Payload in the old buffer is still being written to a volume: it stays there, what has not been parsed moves on.
  BufferRef fresh = pool_.take(Purpose::receive, kReceiveBytes);
  if (!fresh) return false;
  if (buffer_) memcpy(fresh.data(), at(), buffered());
  end_ = buffered();
  begin_ = 0;
  buffer_ = std::move(fresh);
  return true;
}

int Framer::prepare(iovec out[2], bool exact) {
  if (!makeRoom()) return 0;
  const uint32_t nextHeader = kBhsBytes + headerDigest_;
  uint32_t room = buffer_.capacity() - end_;
  int count = 0;
  uint32_t wanted = nextHeader;
  if (state_ == State::data && segment_ != nullptr) {
    out[count++] = {segment_ + (dataLength_ - missing_), missing_};
    wanted = padding(dataLength_) + (dataDigest_ ? kDigestBytes : 0) + nextHeader;
  } else if (state_ == State::data) {
    wanted = room;  // discarded: as much at once as there is room for
  } else if (state_ == State::trailer) {
    wanted = padding(dataLength_) + (dataDigest_ ? kDigestBytes : 0) + nextHeader;
  } else if (buffered() >= kBhsBytes) {
    wanted = nextHeader + uint32_t{at()[kAhsLengthAt]} * 4;
  }
  if (exact) room = std::min(room, wanted > buffered() ? wanted - buffered() : wanted);
  if (room > 0) out[count++] = {buffer_.data() + end_, room};
  return count;
}

void Framer::commit(uint32_t n) {
  if (state_ == State::data && segment_ != nullptr) {
    const uint32_t direct = std::min(n, missing_);
    missing_ -= direct;
    n -= direct;
  }
  end_ += n;
}

Framer::Verdict Framer::advance(PduSink& sink) {
  Verdict verdict = Verdict::needMore;
  for (;;) {
    switch (state_) {
      case State::header:
        if (!readHeader(verdict)) return verdict;
        break;
      case State::placing:
        if (!placeData(sink, verdict)) return verdict;
        break;
      case State::data:
        if (!readData()) return verdict;
        break;
      case State::trailer:
        if (!readTrailer(verdict)) return verdict;
        state_ = State::header;
        if (!sink.whole(header_)) return Verdict::stopped;
        break;
    }
  }
}

bool Framer::readHeader(Verdict& verdict) {
  if (buffered() < kBhsBytes) return false;
  ahsBytes_ = uint32_t{at()[kAhsLengthAt]} * 4;
  const uint32_t length = kBhsBytes + ahsBytes_;
  if (buffered() < length + headerDigest_) return false;
  if (headerDigest_ > 0 && crc32c(0, at(), length) != getDigest(at() + length)) {
    verdict = Verdict::headerDigest;
    return false;
  }
  memcpy(header_, at(), length);
  begin_ += length + headerDigest_;
  dataLength_ = get24(header_ + kDataLengthAt);
  state_ = State::placing;
  return true;
}

bool Framer::placeData(PduSink& sink, Verdict& verdict) {
  Received received;
  if (dataLength_ > 0 && buffered() >= dataLength_) received = {&buffer_, at()};
  const Placement placement = sink.place(header_, ahsBytes_, dataLength_, received);
  switch (placement.kind) {
    case Placement::stall: verdict = Verdict::stalled; return false;
    case Placement::refuse: verdict = Verdict::refused; return false;
    case Placement::keep:
      segment_ = at();
      begin_ += dataLength_;
      missing_ = 0;
      break;
    case Placement::store:
      segment_ = placement.at;
      missing_ = dataLength_;
      break;
    case Placement::discard:
      segment_ = nullptr;
      missing_ = dataLength_;
      break;
  }
  state_ = State::data;
  return true;
}

bool Framer::readData() {
  const uint32_t here = std::min(missing_, buffered());
  if (here > 0 && segment_ != nullptr) {
    memcpy(segment_ + (dataLength_ - missing_), at(), here);
    copied_ += here;
  }
  begin_ += here;
  missing_ -= here;
  if (missing_ > 0) return false;
  state_ = State::trailer;
  return true;
}

bool Framer::readTrailer(Verdict& verdict) {
  const uint32_t pad = padding(dataLength_);
  const uint32_t digest = dataDigest_ && dataLength_ > 0 ? kDigestBytes : 0;
  if (buffered() < pad + digest) return false;
  // A discarded segment is in nobody's hands: its digest cannot matter.
  if (digest > 0 && segment_ != nullptr && crc32c(crc32c(0, segment_, dataLength_), at(), pad) != getDigest(at() + pad)) {
    verdict = Verdict::dataDigest;
    return false;
  }
  begin_ += pad + digest;
  return true;
}

}  // namespace rackboot
