// Sense data (SPC-4, 4.5): the conditions that the data path reports, and their encoding.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rackboot {

// SAM-5, 5.3.1.
constexpr uint8_t kStatusGood = 0x00;
constexpr uint8_t kStatusCheckCondition = 0x02;
constexpr uint8_t kStatusBusy = 0x08;
constexpr uint8_t kStatusReservationConflict = 0x18;

struct Sense {
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  bool operator==(const Sense&) const = default;
};

/// What a command came to. Everything but GOOD ends it.
struct Outcome {
  uint8_t status = kStatusGood;
  Sense sense{};
  /// The INFORMATION field (SPC-4, 4.5.3), where `informs`.
  uint32_t information = 0;
  bool informs = false;
  /// PROGRESS INDICATION (SPC-4, 4.5.2.4.4), in 65536ths, where it `progresses`.
  uint16_t progress = 0;
  bool progresses = false;
  bool good() const { return status == kStatusGood; }
};

constexpr Outcome kGood{};
constexpr Outcome kBusy{.status = kStatusBusy};
constexpr Outcome kReservationConflict{.status = kStatusReservationConflict};
constexpr Outcome check(uint8_t key, uint8_t asc, uint8_t ascq) {
  return {.status = kStatusCheckCondition, .sense = {key, asc, ascq}};
}

// SPC-4, annex F.2 names the additional sense codes.
constexpr Outcome kManualIntervention = check(0x02, 0x04, 0x03);  // LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED
constexpr Outcome kWriteError = check(0x03, 0x0c, 0x00);          // WRITE ERROR
constexpr Outcome kReadError = check(0x03, 0x11, 0x00);           // UNRECOVERED READ ERROR
constexpr Outcome kUnitFailure = check(0x04, 0x3e, 0x01);         // LOGICAL UNIT FAILURE
constexpr Outcome kInvalidOpcode = check(0x05, 0x20, 0x00);       // INVALID COMMAND OPERATION CODE
constexpr Outcome kOutOfRange = check(0x05, 0x21, 0x00);          // LOGICAL BLOCK ADDRESS OUT OF RANGE
constexpr Outcome kInvalidField = check(0x05, 0x24, 0x00);        // INVALID FIELD IN CDB
constexpr Outcome kUnknownUnit = check(0x05, 0x25, 0x00);         // LOGICAL UNIT NOT SUPPORTED
constexpr Outcome kInvalidParameter = check(0x05, 0x26, 0x00);    // INVALID FIELD IN PARAMETER LIST
constexpr Outcome kParameterLength = check(0x05, 0x1a, 0x00);     // PARAMETER LIST LENGTH ERROR
constexpr Outcome kWriteProtected = check(0x07, 0x27, 0x00);      // WRITE PROTECTED
constexpr Outcome kSpaceExhausted = check(0x07, 0x27, 0x07);      // SPACE ALLOCATION FAILED WRITE PROTECT
constexpr Outcome kDataPhaseError = check(0x0b, 0x4b, 0x00);      // DATA PHASE ERROR
constexpr Outcome kMiscompare = check(0x0e, 0x1d, 0x00);          // MISCOMPARE DURING VERIFY OPERATION

constexpr Sense kPowerOn{0x06, 0x29, 0x00};          // POWER ON, RESET, OR BUS DEVICE RESET OCCURRED
constexpr Sense kDeviceReset{0x06, 0x29, 0x03};      // BUS DEVICE RESET FUNCTION OCCURRED
constexpr Sense kCommandsCleared{0x06, 0x2f, 0x00};  // COMMANDS CLEARED BY ANOTHER INITIATOR
constexpr Sense kInquiryChanged{0x06, 0x3f, 0x03};   // INQUIRY DATA HAS CHANGED
constexpr Sense kLunsChanged{0x06, 0x3f, 0x0e};      // REPORTED LUNS DATA HAS CHANGED

constexpr uint32_t kFixedSenseBytes = 18;

/// Fixed format, current error (SPC-4, 4.5.3).
inline std::array<uint8_t, kFixedSenseBytes> fixedSense(const Sense& sense) {
  std::array<uint8_t, kFixedSenseBytes> out{};
  out[0] = 0x70;
  out[2] = sense.key;
  out[7] = kFixedSenseBytes - 8;
  out[12] = sense.asc;
  out[13] = sense.ascq;
  return out;
}

inline std::array<uint8_t, kFixedSenseBytes> fixedSense(const Outcome& outcome) {
  std::array<uint8_t, kFixedSenseBytes> out = fixedSense(outcome.sense);
  if (outcome.informs) {
    out[0] |= 0x80;  // VALID
    for (int i = 0; i < 4; ++i) out[static_cast<size_t>(3 + i)] = static_cast<uint8_t>(outcome.information >> (24 - 8 * i));
  }
  if (outcome.progresses) {
    out[15] = 0x80;  // SKSV
    out[16] = static_cast<uint8_t>(outcome.progress >> 8);
    out[17] = static_cast<uint8_t>(outcome.progress);
  }
  return out;
}

/// Descriptor format (SPC-4, 4.5.2), with descriptors of what there is to tell: information (4.5.2.2), sense key specific (4.5.2.4).
inline std::vector<uint8_t> descriptorSense(const Outcome& outcome) {
  const Sense& sense = outcome.sense;
  std::vector<uint8_t> out{0x72, sense.key, sense.asc, sense.ascq, 0, 0, 0, 0};
  if (outcome.informs) {
    out.insert(out.end(), {0x00, 0x0a, 0x80 /* VALID */, 0, 0, 0, 0, 0});
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(outcome.information >> (24 - 8 * i)));
  }
  if (outcome.progresses) {
    const auto high = static_cast<uint8_t>(outcome.progress >> 8), low = static_cast<uint8_t>(outcome.progress);
    out.insert(out.end(), {0x02, 0x06, 0, 0, 0x80 /* SKSV */, high, low, 0});
  }
  out[7] = static_cast<uint8_t>(out.size() - 8);
  return out;
}

/// In the format that the Control mode page asks for (D_SENSE).
inline std::vector<uint8_t> encodeSense(const Outcome& outcome, bool descriptor) {
  if (descriptor) return descriptorSense(outcome);
  const auto fixed = fixedSense(outcome);
  return {fixed.begin(), fixed.end()};
}

}  // namespace rackboot
