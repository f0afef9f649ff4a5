// libFuzzer target: the framer and a session in the full-feature phase, with a volume in memory. An input is a row of steps: a PDU
// (of which the fuzzer chooses every octet, though CmdSN and tags may be put right, so that it gets anywhere), I/O that completes
// late, replies that go out, answers from above, resets and reservations by other sessions.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "iscsi/framer.h"
#include "iscsi/session.h"

using namespace rackboot;

namespace {

constexpr uint64_t kVolumeBytes = 64 * 1024;
constexpr uint64_t kPoolBytes = 4 << 20;

/// Kept from input to input, since mapping memory takes longer than a short input; what an input leaves behind is found by ~Host().
BufferPool& pool() {
  static BufferPool pool(kPoolBytes);
  return pool;
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t octet() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  void take(uint8_t* out, size_t n) {
    for (size_t i = 0; i < n; ++i) out[i] = octet();
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Host final : public SessionHost, public BlockIo, public PduSink {
 public:
  explicit Host(Input& input) : input_(input), framer_(pool()) {
    auto volume = std::make_shared<Volume>();
    volume->id = 1;
    volume->spec.thin = true;
    volume->stats = std::vector<IoStats>(1);
    view_ = std::make_shared<VolumeView>();
    view_->volume = volume;
    view_->stats = &volume->stats[0];
    view_->sizeBytes = kVolumeBytes;
    SessionParameters parameters;
    const uint8_t options = input.octet();
    parameters.initialR2T = options & 1;
    parameters.immediateData = options & 2;
    parameters.maxOutstandingR2T = 1 + (options >> 2 & 3);
    parameters.headerDigest = options & 16;
    parameters.dataDigest = options & 32;
    parameters.firstBurstLength = 2048;
    parameters.maxBurstLength = 4096;
    parameters.maxRecvDataSegmentLength = 2048;
    parameters.maxSendDataSegmentLength = 1000;
    parameters.expCmdSn = options & 64 ? 0xfffffff0 : 1;
    expCmdSn_ = parameters.expCmdSn;
    out_.useDigests(parameters.headerDigest, parameters.dataDigest);
    session_ = std::make_unique<Session>(*this, 1, parameters, std::vector<LunMapping>{{0, 1, false}, {1, 1, true}});
  }
  ~Host() {
    session_->abandon();
    while (!pending_.empty()) completeIo();
    session_->receiveStopped();
    if (!session_->idle()) abort();
    session_.reset();
    out_.clear();
    for (const Purpose purpose : {Purpose::read, Purpose::solicited, Purpose::unsolicited}) {
      if (pool().used(purpose) != 0) abort();
    }
  }

  void run() {
    while (!input_.empty() && !ended_) {
      step();
      session_->pump(64 * 1024);
      runManagement();
    }
  }

  // SessionHost
  BufferPool& buffers() override { return pool(); }
  BlockIo& io() override { return *this; }
  SendQueue& sendQueue() override { return out_; }
  SessionCounters& counters() override { return counters_; }
  IoStats& account() override { return account_; }
  uint64_t nowNs() override { return ++clockNs_; }
  uint64_t arrivedNs() override { return clockNs_; }
  VolumeViewRef view(VolumeId id) override { return id == 1 ? view_ : nullptr; }
  void emit(Event&& event) override {
    if (event.type == EventType::command) up_.push_back(event.task);
  }
  void end(CloseReason, const char*) override { ended_ = true; }
  void wake() override {}
  uint32_t sessions() const override { return 1; }
  BarrierRef managementBarrier(uint32_t itt, TaskFunction function) override {
    return std::make_shared<Barrier>([this, itt, function] { managed_.push_back({itt, function}); });
  }
  void resetVolumes(const std::vector<VolumeId>& volumes, ResetKind, const BarrierRef& barrier) override {
    for (const VolumeId id : volumes) session_->abortVolume(id, barrier);
    session_->raiseAttention(1, kDeviceReset);
  }

  // BlockIo
  bool submit(IoRequest& request) override {
    if (late_) {
      pending_.push_back(&request);
      return false;
    }
    carryOut(request);
    return true;
  }
  void completed(IoRequest&, int) override {}
  void unlock(VolumeView&) override {}
  void cancelHeld(const IoOwner&) override {
    std::deque<IoRequest*> all = frozen_ ? std::exchange(pending_, {}) : std::deque<IoRequest*>();
    for (IoRequest* request : all) {
      if (!request->unwanted) {
        pending_.push_back(request);
        continue;
      }
      request->error = ECANCELED;
      request->owner->ioDone(*request);
    }
  }

  // PduSink
  Placement place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) override {
    return session_->place(header, ahsBytes, dataLength, received);
  }
  bool whole(const uint8_t* header) override { return session_->whole(header); }

 private:
  void carryOut(IoRequest& request) {
    request.error = fail_;
    if (request.kind == IoKind::flush || request.kind == IoKind::lock || request.kind == IoKind::prefetch || fail_ != 0) return;
    if (request.offset + request.length > kVolumeBytes || request.length == 0) abort();
    uint8_t* at = disk_.data() + request.offset;
    if (request.kind == IoKind::read) memcpy(request.data, at, request.length);
    if (request.kind == IoKind::write) memcpy(at, request.data, request.length);
    if (request.kind == IoKind::punch || request.kind == IoKind::zero) memset(at, 0, request.length);
  }
  void completeIo() {
    IoRequest* request = pending_.front();
    pending_.pop_front();
    carryOut(*request);
    request->owner->ioDone(*request);
  }
  void runManagement() {
    while (!managed_.empty()) {
      const auto [itt, function] = managed_.front();
      managed_.pop_front();
      session_->managementDone(itt, function);
    }
  }

  /// What the initiator would learn from the replies: the tags of R2Ts and pings.
  void drain() {
    iovec vectors[64];
    while (const size_t count = out_.gather(vectors, 64, 1 << 20)) {
      uint64_t total = 0;
      for (size_t i = 0; i < count; ++i) {
        const auto* octets = static_cast<const uint8_t*>(vectors[i].iov_base);
        uint8_t sum = 0;
        for (size_t at = 0; at < vectors[i].iov_len; ++at) sum = static_cast<uint8_t>(sum + octets[at]);
        volatile uint8_t used = sum;
        (void)used;
        total += vectors[i].iov_len;
        if (vectors[i].iov_len < kBhsBytes) continue;
        const bool asks = opcodeOf(octets) == Opcode::r2t || (opcodeOf(octets) == Opcode::nopIn && get32(octets + kTttAt) != kNoTag);
        if (asks) lastTtt_ = get32(octets + kTttAt);
      }
      out_.consume(total);
    }
  }

  void sendPdu(uint8_t how) {
    uint8_t header[kBhsBytes];
    input_.take(header, sizeof header);
    if (how & 8) {
      put32(header + kCmdSnAt, expCmdSn_);
      const bool counts = opcodeOf(header) < Opcode::dataOut || opcodeOf(header) == Opcode::logout;
      if (counts && !isImmediate(header)) ++expCmdSn_;
    }
    if (how & 16) put32(header + kTttAt, lastTtt_);
    if (how & 32) put32(header + kIttAt, header[19] & 7);
    if (how & 64) put24(header + kDataLengthAt, get24(header + kDataLengthAt) & 0xfff);
    header[kAhsLengthAt] &= 7;
    feed(header, sizeof header);
    uint32_t length = header[kAhsLengthAt] * 4u;
    const uint32_t data = get24(header + kDataLengthAt);
    length += data < 8192 ? data + padding(data) : 0;
    std::vector<uint8_t> rest(length);
    input_.take(rest.data(), std::min<size_t>(length, 64));
    feed(rest.data(), rest.size());
  }

  /// In pieces, as a socket would, wherever the framer wants them.
  void feed(const uint8_t* data, size_t size) {
    while (size > 0 && !ended_) {
      iovec vectors[2];
      const int count = framer_.prepare(vectors, session_->expectsDataOut());
      uint32_t moved = 0;
      for (int i = 0; i < count && size > 0; ++i) {
        const size_t n = std::min(size, vectors[i].iov_len);
        memcpy(vectors[i].iov_base, data, n);
        data += n;
        size -= n;
        moved += static_cast<uint32_t>(n);
      }
      framer_.commit(moved);
      const Framer::Verdict verdict = framer_.advance(*this);
      if (verdict == Framer::Verdict::dataDigest) session_->dataDigestError(framer_.header());
      // After a Logout nothing more is parsed, while what was in flight still ends.
      if (verdict != Framer::Verdict::needMore && verdict != Framer::Verdict::stopped) ended_ = true;
    }
  }

  /// As the control plane does when a reservation changes: what is denied, and whether this session is exempt.
  void reserve(uint8_t how) {
    view_->access.denied = static_cast<Denied>(how & 3);
    view_->access.exempt.clear();
    if (how & 4) view_->access.exempt.push_back(1);
  }

  /// A medium that is ejected or being sanitized, sense data of another format, a cache that is off.
  void setReady(uint8_t how) {
    view_->notReady.reset();
    if (how & 1) view_->notReady = Outcome{.status = kStatusCheckCondition, .sense = {0x02, 0x3a, how}, .progresses = (how & 16) != 0};
    view_->descriptorSense = how & 2;
    view_->writeCache = how & 4;
    frozen_ = how & 8;
  }

  void step() {
    const uint8_t how = input_.octet();
    switch (how & 7) {
      case 0:
      case 1:
      case 2:
      case 3: return sendPdu(how);
      case 4:
        late_ = how & 8;
        fail_ = how & 16 ? EIO : how & 32 ? ENOSPC : 0;
        if (how & 64) reserve(input_.octet());
        if (how & 128) setReady(input_.octet());
        if (!pending_.empty()) completeIo();
        return;
      case 5:
        if (how & 8 && session_->mayPing() && !session_->pinged()) session_->pingInitiator();
        return drain();
      case 6: {
        if (up_.empty()) return;
        CommandResult result;
        result.status = how & 8 ? kStatusCheckCondition : kStatusGood;
        result.data.resize(how & 16 ? input_.octet() * 16u : 0);
        result.sense.resize(how & 32 ? 18 : 0);
        session_->completeCommand(up_.front(), std::move(result));
        up_.pop_front();
        return;
      }
      default:
        if (how & 8) session_->abortVolume(1, nullptr);
        if (how & 16) session_->setLuns({{how & 32 ? 0u : 2u, 1, false}});
        if (how & 64) session_->raiseAttention(1, {6, how, input_.octet()});
        view_->closed = how & 128;
    }
  }

  Input& input_;
  Framer framer_;
  SendQueue out_;
  SessionCounters counters_;
  IoStats account_;
  uint64_t clockNs_ = 0;
  VolumeViewRef view_;
  std::vector<uint8_t> disk_ = std::vector<uint8_t>(kVolumeBytes);
  std::unique_ptr<Session> session_;
  std::deque<IoRequest*> pending_;
  std::deque<TaskId> up_;
  std::deque<std::pair<uint32_t, TaskFunction>> managed_;
  uint32_t expCmdSn_ = 1;
  uint32_t lastTtt_ = kNoTag;
  int fail_ = 0;
  bool late_ = false;
  bool frozen_ = false;
  bool ended_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Host host(input);
  host.run();
  return 0;
}
