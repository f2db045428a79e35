#include "client/scan_options.h"

namespace tomogrid::client {

std::vector<Option> scan_options() {
  return {{"window", "N", "energy window, from 1, when the file has several"},
          {"radius", "MM", "axis to collimator, for views whose radius the file does not state"},
          {"collimator-gap", "MM", "from the radius that the camera reports to the collimator's face [0]"},
          {"sum-gates", "", "add the gates of a gated scan"},
          {"axis", "X,Y", "where the rotation axis lies in the frame of reference that a CT shares, mm [0,0]"}};
}

image::LoadOptions load_options(const Arguments& arguments) {
  image::LoadOptions options;
  if (arguments.given("window")) options.window = static_cast<std::size_t>(arguments.integer("window", 1, 64));
  if (arguments.given("radius")) options.radius = Millimetres(arguments.number("radius", 1, 2000));
  if (arguments.given("collimator-gap")) {
    options.collimator_gap = Millimetres(arguments.number("collimator-gap", 0, 200));
  }
  options.sum_gates = arguments.flag("sum-gates");
  if (const auto axis = arguments.optional_text("axis")) options.axis = image::parse_axis(*axis).or_throw();
  return options;
}

std::vector<Option> attenuation_options() {
  return {{"attenuation", "FILE",
           "attenuation map: NIfTI, Interfile, DICOM or a folder with a CT series; needs --attenuation-unit"},
          {"attenuation-unit", "UNIT", "what its numbers are, since no format says: 1/cm, 1/mm or HU"}};
}

std::optional<AttenuationFile> attenuation_of(const Arguments& arguments) {
  const auto path = arguments.optional_text("attenuation");
  const auto unit = arguments.optional_text("attenuation-unit");
  if (!path && !unit) return std::nullopt;
  if (!path) throw Failure(ErrorCode::Usage, "--attenuation-unit is for --attenuation, which is not given");
  if (!unit) {
    throw Failure(ErrorCode::Usage, "--attenuation needs --attenuation-unit: no format says what its numbers are");
  }
  const auto parsed = image::parse_attenuation_unit(*unit);
  if (!parsed) throw Failure(ErrorCode::Usage, "--attenuation-unit " + *unit + ": 1/cm, 1/mm or HU is needed");
  return AttenuationFile{*path, *parsed};
}

std::vector<Option> scatter_options() {
  return {
      {"scatter-window", "N", "energy window of the same file beside the photopeak; twice for one below and one above",
       std::nullopt, true},
      {"scatter", "FILE", "the same from a file of its own, whose header states the energies", std::nullopt, true}};
}

std::vector<ScatterWindow> scatter_of(const Arguments& arguments, const std::filesystem::path& scan) {
  std::vector<ScatterWindow> windows;
  for (const std::int64_t window : arguments.integers("scatter-window", 1, 64))
    windows.push_back({scan, static_cast<std::size_t>(window)});
  for (const std::string& file : arguments.texts("scatter")) windows.push_back({file, std::nullopt});
  return windows;
}

}  // namespace tomogrid::client
