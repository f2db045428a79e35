#include "client/scan.h"

#include <bit>
#include <numeric>

#include "image/energy.h"
#include "image/stream_format.h"

namespace tomogrid::client {

namespace {

// Narrow-beam water at 140 keV, 1/mm (Hubbell and Seltzer, NIST XCOM): what Hounsfield numbers are scaled by.
constexpr PerMillimetre kWater140{0.0154};

Result<std::optional<PerMillimetre>> water_for(const image::AcquisitionFacts& facts, image::AttenuationUnit unit) {
  if (unit != image::AttenuationUnit::Hounsfield) return std::optional<PerMillimetre>{};
  const bool technetium = facts.nuclide == "Tc-99m";
  bool window = false;
  for (const image::EnergyWindow& one : facts.windows)
    window = window || (one.lower_kev < 140.5 && one.upper_kev > 140.5);
  if (technetium || window) return std::optional<PerMillimetre>{kWater140};
  return Error{ErrorCode::Usage,
               "Hounsfield units need the photon energy, and the scan does not say that it is 140 keV; give the map in "
               "1/cm or 1/mm"};
}

Result<image::LoadedVolume> attenuation_for(const image::OpenedScan& scan, const AttenuationFile& file) {
  const auto water = water_for(scan.facts, file.unit);
  if (!water) return water.error();
  auto map = image::load_attenuation(file.path, file.unit, *water);
  if (!map) return map;
  if (auto placed = image::place_attenuation(*map, scan.identity, scan.geometry); !placed) return placed.error();
  return map;
}

Result<void> add_scatter(const image::OpenedScan& photopeak, const std::vector<ScatterWindow>& windows,
                         image::LoadOptions options, std::vector<InputStream>& inputs) {
  for (const ScatterWindow& one : windows) {
    options.window = one.window;
    auto scan = image::open_scan(one.path, options);
    if (!scan) return scan.error();
    const auto place = image::place_beside_photopeak(photopeak.facts, scan->facts);
    if (!place) return place.error();
    const std::string name = *place == image::WindowPlace::Below ? streams::scatter_lower : streams::scatter_upper;
    for (const InputStream& there : inputs) {
      if (there.name == name + ".json")
        return Error{ErrorCode::Usage, "two scatter windows lie on one side of the photopeak: give one"};
    }
    inputs.push_back(text_input(name + ".json", image::encode_header(scan->geometry, scan->facts)));
    inputs.push_back(scan_input(name + ".f32", *scan));
  }
  return {};
}

}  // namespace

std::vector<std::pair<std::uint64_t, std::uint64_t>> bit_reversed(std::size_t views, std::uint64_t length) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> order;
  if (views < 2) return order;
  const std::uint64_t each = length / views;
  const unsigned bits = static_cast<unsigned>(std::bit_width(views - 1));
  for (std::size_t i = 0; i < (std::size_t{1} << bits); ++i) {
    std::size_t view = 0;
    for (unsigned bit = 0; bit < bits; ++bit) view |= ((i >> bit) & 1U) << (bits - 1 - bit);
    if (view < views) order.emplace_back(view * each, (view + 1) * each);
  }
  return order;
}

Result<PreparedScan> prepare_scan(const std::filesystem::path& path, const image::LoadOptions& options,
                                  const std::optional<AttenuationFile>& attenuation,
                                  const std::vector<ScatterWindow>& scatter) {
  auto scan = image::open_scan(path, options);
  if (!scan) return scan.error();
  PreparedScan prepared;
  prepared.warnings = scan->warnings;
  prepared.description = image::describe(*scan);
  const image::ProjectionGeometry& geometry = scan->geometry;
  prepared.volume = Bytes(geometry.bins * geometry.bins * geometry.rows * sizeof(float));
  prepared.views = geometry.views.size();
  std::vector<InputStream> inputs;
  inputs.push_back(text_input(streams::projections_header, image::encode_header(geometry, scan->facts)));
  if (attenuation) {
    auto map = attenuation_for(*scan, *attenuation);
    if (!map) return map.error();
    prepared.warnings.insert(prepared.warnings.end(), map->warnings.begin(), map->warnings.end());
    inputs.push_back(
        text_input(streams::attenuation_header, image::encode_header(map->volume.geometry, map->volume.unit)));
    inputs.push_back(values_input(streams::attenuation_data, std::move(map->volume.values)));
  }
  if (auto added = add_scatter(*scan, scatter, options, inputs); !added) return added.error();
  inputs.push_back(scan_input(streams::projections_data, *scan));
  inputs.back().order = bit_reversed(prepared.views, inputs.back().content->length());
  for (const InputStream& input : inputs) {
    auto fact = fact_of(input);
    if (!fact) return fact.error();
    prepared.facts.push_back(*std::move(fact));
  }
  prepared.inputs = std::make_shared<const std::vector<InputStream>>(std::move(inputs));
  prepared.identity = std::move(scan->identity);
  return prepared;
}

namespace {

Bytes sum(const std::vector<job::StreamFact>& facts) {
  return std::accumulate(facts.begin(), facts.end(), Bytes(0),
                         [](Bytes all, const job::StreamFact& fact) { return all + fact.length; });
}

}  // namespace

job::Needs recon_needs(const PreparedScan& scan, std::uint32_t cores_max, double iterations) {
  const Bytes inputs = sum(scan.facts);
  job::Needs needs;
  needs.cores_max = cores_max;
  needs.memory = mebibytes(256) + inputs * 4 + scan.volume * 40;
  needs.scratch = mebibytes(16) + inputs + scan.volume * 3;
  const double voxels = static_cast<double>(scan.volume.count()) / sizeof(float);
  needs.work = FlopCount(40.0 * voxels * static_cast<double>(scan.views) * iterations);
  return needs;
}

job::Needs qa_needs(const PreparedScan& scan) {
  const Bytes inputs = sum(scan.facts);
  job::Needs needs;
  needs.cores_max = 1;
  needs.memory = mebibytes(64) + inputs * 4;
  needs.scratch = mebibytes(2) + inputs;
  return needs;
}

}  // namespace tomogrid::client
