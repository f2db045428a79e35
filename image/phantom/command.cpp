// `tomogrid phantom`: options, then one call.
#include <cmath>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "image/commands.h"
#include "image/files.h"
#include "image/phantom.h"
#include "image/phantom/numerics.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

constexpr double kTcHalfLifeSeconds = 6.0067 * 3600;  // Tc-99m
constexpr double kDegree = phantom::kPi / 180;

struct Wanted {
  Phantom phantom;
  ProjectionGeometry geometry;
  PhantomPhysics physics;
  SimulationRequest request;
};

// "4" or "4,3": one number or two. Usage names the option.
std::pair<double, double> two_numbers(const Arguments& arguments, const char* name) {
  const std::string text = arguments.text(name);
  const auto refuse = [&]() -> Failure {
    return {ErrorCode::Usage,
            std::string("--") + name + " " + text + ": two numbers with a comma between, as 1.466,0.0163"};
  };
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos) throw refuse();
  try {
    std::size_t used_first = 0, used_second = 0;
    const double first = std::stod(text.substr(0, comma), &used_first);
    const double second = std::stod(text.substr(comma + 1), &used_second);
    if (used_first != comma || used_second != text.size() - comma - 1) throw refuse();
    return {first, second};
  } catch (const std::logic_error&) {
    throw refuse();
  }
}

Orbit orbit_of(const Arguments& arguments, const Phantom& source) {
  Orbit orbit{.views = static_cast<std::size_t>(arguments.integer("views", 1, 1000)),
              .first = Radians(arguments.number("start-angle", -360, 360) * kDegree),
              .arc = Radians(arguments.number("arc", 1, 360) * kDegree),
              .radius = arguments.given("radius") ? Millimetres(arguments.number("radius", 1, 2000)) : source.radius,
              .per_view = Seconds(arguments.number("seconds", 0.001, 3600)),
              .heads = static_cast<std::uint32_t>(arguments.integer("heads", 1, 4))};
  const std::string direction = arguments.text("direction");
  if (direction == "cc")
    orbit.arc = Radians(-orbit.arc.count());
  else if (direction != "cw")
    throw Failure(ErrorCode::Usage, "--direction " + direction + ": cw or cc");
  if (orbit.views % orbit.heads != 0) {
    throw Failure(ErrorCode::Usage, "--views " + std::to_string(orbit.views) + " cannot be shared by " +
                                        std::to_string(orbit.heads) + " heads: take a multiple");
  }
  return orbit;
}

Wanted wanted_of(const Arguments& arguments) {
  Wanted wanted{.phantom = {}, .geometry = {}, .physics = {}, .request = {}};
  auto found = preset(arguments.text("preset"), arguments.number("contrast", 0, 1000));
  if (!found) throw Failure(ErrorCode::Usage, found.error().message);
  wanted.phantom = *std::move(found);
  const auto size = static_cast<std::size_t>(arguments.integer("size", 8, 1024));
  const double field = arguments.given("field") ? arguments.number("field", 10, 2000) : wanted.phantom.field.count();
  const Millimetres bin(field / static_cast<double>(size));
  wanted.geometry = circular_scan(size, size, bin, bin, orbit_of(arguments, wanted.phantom));
  const auto [sigma0, slope] = two_numbers(arguments, "response");
  wanted.physics = {.response = {.sigma0 = Millimetres(sigma0), .slope = slope},
                    .attenuation = !arguments.flag("no-attenuation"),
                    .half_life = {}};
  wanted.request = {.counts = arguments.number("counts", 1, 1e11),
                    .seed = static_cast<std::uint64_t>(arguments.integer("seed", 0, INT64_MAX)),
                    .facts = {}};
  wanted.request.facts = {.nuclide = "Tc-99m",
                          .half_life = Seconds(kTcHalfLifeSeconds),
                          .windows = {{.lower_kev = 126.45, .upper_kev = 154.55}},
                          .collimator = "LEHR",
                          .counts = true};
  return wanted;
}

nlohmann::json summary_of(const Simulation& simulation, const std::vector<std::string>& files) {
  double counts = 0, most = 0;
  for (const float value : simulation.projections.values) {
    counts += value;
    most = std::max(most, static_cast<double>(value));
  }
  const ProjectionGeometry& geometry = simulation.projections.geometry;
  return {{"preset", simulation.phantom.name},
          {"bins", geometry.bins},
          {"rows", geometry.rows},
          {"views", geometry.views.size()},
          {"bin_mm", geometry.bin_mm.count()},
          {"radius_mm", geometry.views.front().radius.count()},
          {"counts", counts},
          {"counts_per_bin_max", most},
          {"sampling_level", simulation.convergence.sampling.level},
          {"halving_change", simulation.convergence.change},
          {"files", files}};
}

void print(const nlohmann::json& summary) {
  std::cout << "phantom " << summary["preset"].get<std::string>() << ": " << summary["bins"] << " x " << summary["rows"]
            << " bins of " << summary["bin_mm"] << " mm, " << summary["views"] << " views at " << summary["radius_mm"]
            << " mm, " << static_cast<std::uint64_t>(summary["counts"].get<double>()) << " counts\n"
            << "halving the integration step changes the noise-free image by "
            << 100 * summary["halving_change"].get<double>() << " % RMS\n";
  for (const auto& file : summary["files"]) std::cout << "wrote " << file.get<std::string>() << "\n";
}

int list_presets(bool json) {
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string& name : preset_names()) {
    const Phantom one = preset(name).or_throw();
    rows.push_back({{"preset", name},
                    {"summary", one.summary},
                    {"field_mm", one.field.count()},
                    {"radius_mm", one.radius.count()}});
    if (!json) std::cout << name << std::string(13 - name.size(), ' ') << one.summary << "\n";
  }
  if (json) std::cout << rows.dump() << "\n";
  return 0;
}

void require_scan_name(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension();
  if (extension != ".dcm" && extension != ".hs" && extension != ".h33") {
    throw Failure(ErrorCode::Usage, path + ": a scan's name must end in .dcm, .hs or .h33");
  }
}

int run(const Arguments& arguments) {
  if (arguments.flag("list")) return list_presets(arguments.flag("json"));
  const std::vector<std::string> outputs = arguments.texts("output");
  if (outputs.empty()) {
    throw Failure(ErrorCode::Usage, "no output named: add -o scan.dcm (or scan.hs); --list shows the presets");
  }
  const auto truth_path = arguments.optional_text("truth"), mu_path = arguments.optional_text("mu"),
             clean_path = arguments.optional_text("noise-free");
  // Asked before the computation, not after.
  for (const std::string& path : outputs) require_scan_name(path);
  if (clean_path) require_scan_name(*clean_path);
  for (const auto& path : {truth_path, mu_path}) {
    if (path) can_save_volume(*path).or_throw();
  }
  const auto position = parse_patient_position(arguments.text("position"));
  if (!position) throw Failure(ErrorCode::Usage, "--position " + arguments.text("position") + ": HFS, HFP, FFS or FFP");

  const Wanted wanted = wanted_of(arguments);
  const Simulation simulation = simulate(wanted.phantom, wanted.geometry, wanted.physics, wanted.request).or_throw();
  ScanLabels labels;
  labels.series_description = "Simulated SPECT, preset " + simulation.phantom.name;
  labels.position = *position;
  std::vector<std::string> files;
  for (const std::string& path : outputs) {
    save_scan(path, simulation.projections, labels).or_throw();
    files.push_back(path);
  }
  if (clean_path) {
    save_scan(*clean_path, simulation.noise_free, labels).or_throw();
    files.push_back(*clean_path);
  }
  const VolumeGeometry grid = grid_of(wanted.geometry);
  if (truth_path) {
    save_volume(*truth_path, truth_volume(simulation.phantom, grid)).or_throw();
    files.push_back(*truth_path);
  }
  if (mu_path) {
    save_volume(*mu_path, mu_volume(simulation.phantom, grid)).or_throw();
    files.push_back(*mu_path);
  }
  const nlohmann::json summary = summary_of(simulation, files);
  if (arguments.flag("json"))
    std::cout << summary.dump() << "\n";
  else
    print(summary);
  return 0;
}

}  // namespace

Command phantom_command() {
  Command command;
  command.name = "tomogrid phantom";
  command.summary = "a SPECT acquisition made from formulas, with its truth";
  command.usage = "-o SCAN [--preset NAME] [options]";
  command.description =
      "Computes the expected counts of every bin from analytic solids with attenuation and the collimator's response,\n"
      "adds Poisson noise, and writes the scan. Nothing passes through a voxel grid; the truth volume and the "
      "attenuation\n"
      "map are averages over voxels of the same solids. The same options give the same bytes on every machine.\n"
      "docs/phantom.md describes the presets and how a bin is computed.";
  command.options = {
      {"output,o", "FILE", "the scan: .dcm (DICOM NM TOMO) or .hs (Interfile); may be repeated", {}, true},
      {"preset", "NAME", "what is imaged; --list shows them", "brain"},
      {"list", "", "list the presets and end"},
      {"size", "N", "bins along each side of a view, 8 to 1024", "64"},
      {"views", "V", "stops over the whole arc, over all heads, 1 to 1000", "60"},
      {"counts", "C", "expected counts in the whole scan", "4000000"},
      {"seed", "S", "of the noise; the same seed gives the same counts", "1"},
      {"truth", "FILE", "write the activity (.nii.gz, .hv): expected unattenuated counts per voxel and view"},
      {"mu", "FILE", "write the attenuation map (.nii.gz, .hv) in 1/mm"},
      {"noise-free", "FILE", "write the expected counts too (.hs, float)"},
      {"contrast", "X", "activity of the hot spheres over the background's (nema)", "8"},
      {"field", "MM", "width and height of a view in mm; default: the preset's"},
      {"radius", "MM", "rotation axis to collimator face in mm; default: the preset's"},
      {"arc", "DEGREES", "covered by all views together", "360"},
      {"start-angle", "DEGREES", "of the first view: 0 is in front, 90 at the patient's left", "0"},
      {"direction", "cw|cc", "towards larger angles or smaller ones", "cw"},
      {"heads", "N", "detectors that turn together and share the arc, 1 to 4", "1"},
      {"seconds", "S", "duration of a view in seconds; decay is simulated from it", "20"},
      {"response", "A,B", "sigma = A mm + B x distance of the collimator's Gaussian response", "1.466,0.0163"},
      {"no-attenuation", "", "let the body absorb nothing"},
      {"position", "P", "how the patient lay, for DICOM: HFS, HFP, FFS or FFP", "HFS"}};
  command.examples = {"tomogrid phantom -o scan.dcm",
                      "tomogrid phantom --preset nema --size 128 --views 120 --counts 1e7 -o nema.dcm --truth "
                      "nema.nii.gz --mu mu.nii.gz",
                      "tomogrid phantom --list"};
  command.run = run;
  return command;
}

}  // namespace tomogrid::image
