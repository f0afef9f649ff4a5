// One socket: what it receives goes through the framer to the session (before the full-feature phase: up), what the session has to
// say goes out, all that is ready in one sendmsg.
#pragma once

#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "events.h"
#include "iscsi/framer.h"
#include "iscsi/send-queue.h"
#include "iscsi/session.h"

namespace rackboot {

class Worker;

/// What the sessions of one machine did, counted by each thread on its own.
using Account = std::vector<IoStats>;

/// Data of a PDU before the full-feature phase: RFC 7143, 13.12 says 8192; a little more does no harm.
constexpr uint32_t kLoginBytes = 16 * 1024;
constexpr uint64_t kLoginTimeoutNs = 30'000'000'000;

class Connection final : public PduSink, public SessionHost {
 public:
  Connection(Worker& worker, ConnectionId id, int fd);
  ~Connection();

  ConnectionId id() const { return id_; }
  Session* session() { return session_.get(); }

  /// Reports the connection and begins to receive.
  void open(uint32_t portal);
  /// A share of the thread's time.
  void turn();
  /// The time that was asked for has come.
  void timeout();
  /// Ends at once what waits for the peer.
  void hurry();
  /// Finishes what was received, then ends.
  void shutdown();
  void reportClosed();

  // From above.
  void sendLoginPdu(std::vector<uint8_t> header, std::vector<uint8_t> data);
  void enterFullFeature(std::vector<uint8_t> header, std::vector<uint8_t> data, const SessionParameters& parameters,
                        const std::vector<LunMapping>& luns, const std::shared_ptr<Account>& account);
  void drop(std::string detail);

  // PduSink
  Placement place(const uint8_t* header, uint32_t ahsBytes, uint32_t dataLength, const Received& received) override;
  bool whole(const uint8_t* header) override;

  // SessionHost
  BufferPool& buffers() override;
  BlockIo& io() override;
  SendQueue& sendQueue() override { return out_; }
  SessionCounters& counters() override;
  IoStats& account() override { return *stats_; }
  uint64_t nowNs() override;
  uint64_t arrivedNs() override { return arrivedNs_; }
  VolumeViewRef view(VolumeId volume) override;
  void emit(Event&& event) override;
  void end(CloseReason reason, const char* detail) override;
  void wake() override;
  uint32_t sessions() const override;
  BarrierRef managementBarrier(uint32_t itt, TaskFunction function) override;
  void resetVolumes(const std::vector<VolumeId>& volumes, ResetKind kind, const BarrierRef& barrier) override;

  // Kept by the worker.
  bool ready = false;
  bool gone = false;
  bool starving = false;
  uint64_t deadlineNs = 0;

 private:
  enum class Phase : uint8_t {
    login,
    fullFeature,
    finishing,  // nothing more is received; what is under way is answered
    flushing,   // the send queue goes out
    parting,    // our side is shut; the peer's last octets are thrown away
    closing,    // both sides are shut; nothing but completions is awaited
  };
  struct ReceiveOp final : Completion {
    explicit ReceiveOp(Connection& connection) : owner(connection) {}
    void completed(int result, bool) override { owner.received(result); }
    Connection& owner;
    bool inFlight = false;
    msghdr message{};
    iovec vectors[2];
  };
  struct SendOp final : Completion {
    explicit SendOp(Connection& connection) : owner(connection) {}
    void completed(int result, bool) override { owner.sent(result); }
    Connection& owner;
    bool inFlight = false;
    msghdr message{};
    std::vector<iovec> vectors;
  };

  void received(int result);
  void sent(int result);
  void parse();
  void armReceive();
  void flush();
  void part();
  void watch();
  void watchUntil(uint64_t atNs);
  void failed(int error, const char* what);
  bool isOpen() const { return phase_ == Phase::login || phase_ == Phase::fullFeature; }

  Worker& worker_;
  const ConnectionId id_;
  const int fd_;
  Phase phase_ = Phase::login;
  Framer framer_;
  SendQueue out_;
  std::unique_ptr<Session> session_;
  ReceiveOp receive_{*this};
  SendOp send_{*this};
  std::vector<uint8_t> loginData_;
  uint32_t loginAhs_ = 0;
  bool awaitingAnswer_ = false;  // login goes in lockstep (RFC 7143, 6.2): one PDU up, then its answer
  bool stalled_ = false;
  bool broken_ = false;        // the socket no longer carries anything
  bool waitsForPeer_ = false;  // a last answer should not be cut off by a reset
  uint64_t copiedBefore_ = 0;
  uint64_t arrivedNs_ = 0;
  uint64_t listeningNs_ = 0;  // since when the receive in flight has waited
  uint64_t pingedNs_ = 0;
  uint64_t watchNs_ = 0;  // when the peer's silence is looked at next
  std::shared_ptr<Account> account_;
  IoStats* stats_ = nullptr;  // the account's, of this thread
  CloseReason reason_ = CloseReason::peerClosed;
  std::string detail_;
};

}  // namespace rackboot
