// From files on the user's side to what may leave: values from an allow-list, never a name, a date or a path.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/streams.h"
#include "image/files.h"

namespace tomogrid::client {

// Names of streams, as the services' descriptors have them.
namespace streams {
inline constexpr const char* projections_header = "projections.json";
inline constexpr const char* projections_data = "projections.f32";
inline constexpr const char* attenuation_header = "attenuation.json";
inline constexpr const char* attenuation_data = "attenuation.f32";
inline constexpr const char* scatter_lower = "scatter-lower";  // .json and .f32 of each
inline constexpr const char* scatter_upper = "scatter-upper";
inline constexpr const char* volume_header = "volume.json";
inline constexpr const char* volume_data = "volume.f32";
inline constexpr const char* deviation_header = "deviation.json";
inline constexpr const char* deviation_data = "deviation.f32";
inline constexpr const char* passport = "passport.json";
inline constexpr const char* run = "run.json";
inline constexpr const char* report = "report.json";
}  // namespace streams

inline const job::ServiceName kReconService{"recon.spect", 1};
inline const job::ServiceName kQaService{"qa.spect", 1};

// What travels, and what stays here.
struct PreparedScan {
  std::shared_ptr<const std::vector<InputStream>> inputs;
  std::vector<job::StreamFact> facts;  // of the inputs, hashed
  image::Identity identity;            // stays
  std::vector<std::string> warnings;
  std::string description;  // for people; identifies nobody
  Bytes volume;             // length of the result's data
  std::size_t views = 0;
};

struct AttenuationFile {
  std::filesystem::path path;
  image::AttenuationUnit unit = image::AttenuationUnit::PerCentimetre;
};

// An energy window beside the photopeak, for the scatter in the model; which side it lies on its energies say.
struct ScatterWindow {
  std::filesystem::path path;
  std::optional<std::size_t> window;  // of several in the file, from 1
};

// Views go in bit-reversed order, so that an even part of the arc is there early. At most one scatter window below the
// photopeak and one above.
Result<PreparedScan> prepare_scan(const std::filesystem::path& scan, const image::LoadOptions& options,
                                  const std::optional<AttenuationFile>& attenuation,
                                  const std::vector<ScatterWindow>& scatter = {});

// Ranges of `views` equal parts of `length` bytes in bit-reversed order: 0, n/2, n/4, 3n/4, ...
std::vector<std::pair<std::uint64_t, std::uint64_t>> bit_reversed(std::size_t views, std::uint64_t length);

// What a reconstruction needs. A forecast on the safe side (the worker adapts to what it is granted): memory as the
// plan with a stored attenuation table, work as 40 operations per view, voxel and iteration.
job::Needs recon_needs(const PreparedScan& scan, std::uint32_t cores_max, double iterations);
job::Needs qa_needs(const PreparedScan& scan);

}  // namespace tomogrid::client
