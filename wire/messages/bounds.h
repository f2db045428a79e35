// How long the lists and texts of messages may be, so that memory is bounded before anything is allocated and a frame fits the
// door (kControlMessageLimit). A sender keeps to them; a longer list or name is refused as malformed, a longer sentence is
// cut by the encoder.
#pragma once

#include <cstddef>

namespace tomogrid::wire {

inline constexpr std::size_t kControlMessageLimit = 64 * 1024;
inline constexpr std::size_t kWordLimit = 64;              // codes, stages, labels, versions of software
inline constexpr std::size_t kReasonLimit = 512;           // sentences for people, bytes of UTF-8
inline constexpr std::size_t kHostLimit = 255;
inline constexpr std::size_t kVersionsMax = 16;
inline constexpr std::size_t kRoutesMax = 8;
inline constexpr std::size_t kServicesMax = 32;
inline constexpr std::size_t kLabelsMax = 16;
inline constexpr std::size_t kRecentTicketsMax = 128;
inline constexpr std::size_t kAdvertLimit = 12 * 1024;     // encoded body
inline constexpr std::size_t kExcludedMax = 64;
inline constexpr std::size_t kCandidatesMax = 200;
inline constexpr std::size_t kParametersMax = 128;
inline constexpr std::size_t kParameterTextLimit = 1024;   // one value
inline constexpr std::size_t kParametersTextLimit = 16 * 1024;   // canonical text of all, in a receipt
inline constexpr std::size_t kStreamsPerJobMax = 64;       // inputs, and outputs
inline constexpr std::size_t kReceiptLimit = 40 * 1024;    // encoded body
inline constexpr std::size_t kListingsMax = 512;           // in one Snapshot; split by encoded size as well
inline constexpr std::size_t kJobsListedMax = 256;         // in one JobList; without receipts
inline constexpr std::size_t kBitmapLimit = 2 * 1024;

}  // namespace tomogrid::wire
