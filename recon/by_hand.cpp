#include "recon/by_hand.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "image/energy.h"
#include "image/files.h"
#include "recon/job_worker.h"
#include "recon/run.h"

namespace tomogrid::recon {

namespace {

std::string default_text(const job::ParameterDescriptor& parameter) {
  std::string text = job::canonical_text({{parameter.name, parameter.default_value}});
  text = text.substr(text.find(':') + 1);
  text.pop_back();
  text.erase(std::remove(text.begin(), text.end(), '"'), text.end());
  return text;
}

std::vector<Option> options() {
  std::vector<Option> all = {
      {"output,o", "FILE", "where the volume goes: .nii, .nii.gz, .hv, .dcm or .png; may be repeated", std::nullopt,
       true},
      {"attenuation", "FILE",
       "attenuation map of this body, on any grid: .hv, .nii, .dcm, or a folder with a CT series"},
      {"attenuation-unit", "UNIT", "what its numbers are: 1/mm, 1/cm or HU; a CT series is in HU", "1/cm"},
      {"water", "MU", "for HU: the attenuation coefficient of water, 1/mm", "0.0154"},
      {"window", "N", "energy window, from 1, when the file has several"},
      {"scatter-window", "N", "energy window of the same file beside the photopeak; twice for one below and one above",
       std::nullopt, true},
      {"scatter", "FILE", "the same from a file of its own; its header states the energies", std::nullopt, true},
      {"radius", "MM", "distance from axis to collimator, where the file does not say"},
      {"collimator-gap", "MM", "from the radius that the camera reports to the collimator's face", "0"},
      {"sum-gates", "", "add the gates of a gated scan"},
      {"axis", "X,Y", "where the rotation axis lies in the frame of reference that a CT shares, mm", "0,0"},
      {"slices", "FIRST:LAST", "reconstruct only these slices, from 1 at the feet"},
      {"preset", "NAME", "parameters for a kind of study; those given beside it win"},
      {"presets", "", "print the presets and stop"},
      {"deviation", "FILE", "where the standard deviations go (--uncertainty); default: beside the first output"},
      {"mosaic", "FILE", "a PNG with slices and a maximum projection; default: beside the first output"},
      {"passport", "FILE", "JSON that says what was computed; default: beside the first output"},
      {"table", "", "print a line per iteration"},
      {"threads", "N", "OpenMP threads; 0: every core this process may use", "0"},
      {"resume", "FILE", "go on from a checkpoint"},
      {"checkpoint", "FILE", "write checkpoints here, every --checkpoint-every iterations"},
      {"plan-cache", "FOLDER",
       "keep plans here and use them again; they derive from attenuation maps, so only you may enter it"},
      {"instructions", "SET", "best, scalar, avx2 or avx512; the result does not depend on it", "best"},
      {"job", "FOLDER", "work for a node: the worker contract in FOLDER (no scan is given then)"},
  };
  for (const job::ParameterDescriptor& parameter : service().parameters) {
    std::string help = parameter.help;
    std::string value = parameter.unit.empty() ? "X" : "MM";
    if (parameter.type == job::ParameterType::Boolean) value = "true|false";
    if (parameter.type == job::ParameterType::Integer) value = "N";
    if (parameter.type == job::ParameterType::Choice) {
      value.clear();
      for (const std::string& choice : parameter.choices) value += (value.empty() ? "" : "|") + choice;
    }
    all.push_back({parameter.name, value, help, default_text(parameter)});
  }
  return all;
}

job::ParameterValue parse_value(const job::ParameterDescriptor& parameter, const Arguments& arguments) {
  switch (parameter.type) {
    case job::ParameterType::Boolean: {
      const std::string text = arguments.text(parameter.name);
      if (text != "true" && text != "false")
        throw Failure(ErrorCode::Usage, "--" + parameter.name + " " + text + ": true or false is needed");
      return text == "true";
    }
    case job::ParameterType::Integer:
      return arguments.integer(parameter.name, static_cast<std::int64_t>(parameter.least),
                               static_cast<std::int64_t>(parameter.most));
    case job::ParameterType::Number:
      return arguments.number(parameter.name, parameter.least, parameter.most);
    case job::ParameterType::Choice:
      return arguments.text(parameter.name);
  }
  return false;
}

std::pair<std::int64_t, std::int64_t> parse_slices(const std::string& text) {
  std::int64_t first = 0, last = 0;
  const char* end = text.data() + text.size();
  const auto begun = std::from_chars(text.data(), end, first);
  const bool colon = begun.ec == std::errc{} && begun.ptr != end && *begun.ptr == ':';
  const auto ended = colon ? std::from_chars(begun.ptr + 1, end, last) : begun;
  if (!colon || ended.ec != std::errc{} || ended.ptr != end || first < 1 || last < first)
    throw Failure(ErrorCode::Usage, "--slices " + text + ": FIRST:LAST is needed, say 20:40, counted from 1");
  return {first, last};
}

job::Parameters parameters_of(const Arguments& arguments) {
  job::Parameters parameters;
  for (const job::ParameterDescriptor& parameter : service().parameters)
    parameters[parameter.name] = parse_value(parameter, arguments);
  if (const auto name = arguments.optional_text("preset")) {
    const job::Preset* preset = job::find_preset(service(), *name);
    if (preset == nullptr)
      throw Failure(ErrorCode::Usage, "--preset " + *name + ": none of\n" + job::list_of_presets(service()));
    std::cerr << "note: preset " << *name << ": " << job::canonical_text(preset->parameters) << "\n";
    for (const auto& [parameter, value] : preset->parameters) {
      if (!arguments.given(parameter)) parameters[parameter] = value;
    }
  }
  if (const auto slices = arguments.optional_text("slices")) {
    const auto [first, last] = parse_slices(*slices);
    parameters["first-slice"] = first;
    parameters["last-slice"] = last;
  }
  auto complete = job::complete_parameters(service(), parameters);
  if (!complete) throw Failure(ErrorCode::Usage, complete.error().message);
  return *std::move(complete);
}

InstructionSet instructions_of(const Arguments& arguments) {
  const std::string name = arguments.text("instructions");
  InstructionSet set = InstructionSet::Best;
  if (name == "scalar")
    set = InstructionSet::Scalar;
  else if (name == "avx2")
    set = InstructionSet::Avx2;
  else if (name == "avx512")
    set = InstructionSet::Avx512;
  else if (name != "best")
    throw Failure(ErrorCode::Usage, "--instructions " + name + ": not one of best, scalar, avx2, avx512");
  if (!has(set)) throw Failure(ErrorCode::Usage, "--instructions " + name + ": this processor does not have them");
  return set;
}

struct Loaded {
  Task task;
  image::Identity identity;
};

void warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) std::cerr << "warning: " << warning << "\n";
}

void add_scatter_window(Task& task, const std::string& file, const image::LoadOptions& options) {
  image::LoadedScan scan = image::load_scan(file, options).or_throw();
  const image::WindowPlace place = image::place_beside_photopeak(task.header.facts, scan.projections.facts).or_throw();
  std::optional<ScatterInput>& window = place == image::WindowPlace::Below ? task.scatter_lower : task.scatter_upper;
  if (window) throw Failure(ErrorCode::Usage, "two scatter windows lie on one side of the photopeak: give one");
  window = ScatterInput{{std::move(scan.projections.geometry), std::move(scan.projections.facts)},
                        std::move(scan.projections.values)};
}

void load_scatter(const Arguments& arguments, image::LoadOptions options, Task& task) {
  for (const std::int64_t window : arguments.integers("scatter-window", 1, 64)) {
    options.window = static_cast<std::size_t>(window);
    add_scatter_window(task, arguments.positional().front(), options);
  }
  options.window.reset();
  for (const std::string& file : arguments.texts("scatter")) add_scatter_window(task, file, options);
}

Loaded load(const Arguments& arguments) {
  if (arguments.positional().empty()) throw Failure(ErrorCode::Usage, "a scan is needed");
  const job::Parameters parameters = parameters_of(arguments);
  image::LoadOptions load;
  if (arguments.given("window")) load.window = static_cast<std::size_t>(arguments.integer("window", 1, 64));
  if (arguments.given("radius")) load.radius = Millimetres(arguments.number("radius", 1, 1000));
  load.collimator_gap = Millimetres(arguments.number("collimator-gap", 0, 200));
  load.sum_gates = arguments.flag("sum-gates");
  if (arguments.given("axis")) load.axis = image::parse_axis(arguments.text("axis")).or_throw();
  image::LoadedScan scan = image::load_scan(arguments.positional().front(), load).or_throw();
  warn(scan.warnings);
  Loaded loaded;
  loaded.identity = std::move(scan.identity);
  loaded.task.parameters = parameters;
  loaded.task.header = {std::move(scan.projections.geometry), std::move(scan.projections.facts)};
  loaded.task.counts = std::move(scan.projections.values);
  load_scatter(arguments, load, loaded.task);
  if (const auto map = arguments.optional_text("attenuation")) {
    auto unit = image::parse_attenuation_unit(arguments.text("attenuation-unit"));
    if (std::filesystem::is_directory(*map) && !arguments.given("attenuation-unit"))
      unit = image::AttenuationUnit::Hounsfield;
    if (!unit) throw Failure(ErrorCode::Usage, "--attenuation-unit: not one of 1/mm, 1/cm, HU");
    std::optional<PerMillimetre> water;
    if (*unit == image::AttenuationUnit::Hounsfield) water = PerMillimetre(arguments.number("water", 0.001, 0.1));
    image::LoadedVolume volume = image::load_attenuation(*map, *unit, water).or_throw();
    image::place_attenuation(volume, loaded.identity, loaded.task.header.geometry).or_throw();
    warn(volume.warnings);
    loaded.task.attenuation = std::move(volume.volume);
  }
  if (const auto file = arguments.optional_text("resume")) {
    loaded.task.resume = parse_checkpoint(read_file(*file, Bytes(4296015872)).or_throw()).or_throw();
  }
  return loaded;
}

// "volume" and ".nii.gz".
std::pair<std::string, std::string> split_name(const std::string& name) {
  for (const std::string extension : {".nii.gz", ".nii", ".hv", ".dcm", ".png"}) {
    if (name.ends_with(extension)) return {name.substr(0, name.size() - extension.size()), extension};
  }
  return {name, ".nii.gz"};
}

void print_iteration(const IterationReport& report, Seconds remaining) {
  std::printf("%4zu of %zu   log-likelihood %.9g   change %+.2e   expected %.7g   %s left\n", report.iteration,
              report.iterations, report.log_likelihood, report.change, report.expected_counts,
              human_seconds(remaining.count()).c_str());
  std::fflush(stdout);
}

Listener make_listener(const Arguments& arguments, const Decision& decision) {
  Listener listener;
  listener.notice = [](const Notice& notice) { std::cerr << "note: " << notice.message << "\n"; };
  listener.replicate = [](std::size_t done, std::size_t of, Seconds remaining) {
    if (done % 8 == 0 || done == of)
      std::cerr << "note: replicate " << done << " of " << of << ", " << human_seconds(remaining.count()) << " left\n";
  };
  const bool table = arguments.flag("table");
  const auto checkpoint_file = arguments.optional_text("checkpoint");
  const std::size_t every = decision.checkpoint_every;
  listener.iteration = [table, checkpoint_file, every](const IterationReport& report, Seconds remaining, const auto&,
                                                       const auto& checkpoint) {
    if (table) print_iteration(report, remaining);
    if (checkpoint_file && every > 0 && report.iteration % every == 0)
      write_file(*checkpoint_file, encode(checkpoint())).or_throw();
  };
  return listener;
}

void save(const Arguments& arguments, const Loaded& loaded, const TaskRun& run, const Reconstruction& result,
          const std::optional<image::Volume>& deviation) {
  const std::vector<std::string> outputs = arguments.texts("output");
  const image::ResultLabels labels{.software_version = TOMOGRID_VERSION,
                                   .parameters = job::canonical_text(loaded.task.parameters)};
  for (const std::string& output : outputs)
    image::save_volume(output, result.volume, &loaded.identity, labels).or_throw();
  const auto [stem, extension] = split_name(outputs.front());
  const std::string deviation_file = arguments.optional_text("deviation").value_or(stem + "-deviation" + extension);
  if (deviation) {
    image::ResultLabels of_deviation = labels;
    of_deviation.series_description = "Tomogrid standard deviation";
    image::save_volume(deviation_file, *deviation, &loaded.identity, of_deviation).or_throw();
  }
  const std::string mosaic = arguments.optional_text("mosaic").value_or(stem + "-mosaic.png");
  const std::string passport_file = arguments.optional_text("passport").value_or(stem + "-passport.json");
  image::save_mosaic(mosaic, result.volume).or_throw();
  const std::string record = run.record(Seconds(0), Seconds(0));
  nlohmann::json document = nlohmann::json::parse(run.passport(result, deviation));
  document["run"] = nlohmann::json::parse(record);
  write_file(passport_file, bytes_of(document.dump(2) + "\n")).or_throw();
  if (arguments.flag("json")) {
    nlohmann::json body{{"outputs", outputs},
                        {"mosaic", mosaic},
                        {"passport_file", passport_file},
                        {"passport", document},
                        {"run", document["run"]}};
    if (deviation) body["deviation"] = deviation_file;
    std::cout << body.dump(2) << "\n";
    return;
  }
  const nlohmann::json& times = document["run"];
  std::printf(
      "%s, mosaic %s, passport %s\n%.7g counts measured, %.7g modelled, %.7g in bins without a model; plan %.2f s, "
      "iterations %.2f s\n",
      outputs.front().c_str(), mosaic.c_str(), passport_file.c_str(), result.counts_measured, result.counts_modelled,
      result.counts_excluded, times["seconds"]["plan"].get<double>(), times["seconds"]["iterate"].get<double>());
}

int cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

int reconstruct_files(const Arguments& arguments, Processes& ranks) {
  const auto threads = arguments.integer("threads", 0, 1024);
  if (threads > 0)
    omp_set_num_threads(static_cast<int>(threads));
  else if (std::getenv("OMP_NUM_THREADS") == nullptr)
    omp_set_num_threads(cores_allowed());
  std::optional<Loaded> loaded;
  std::optional<Task> task;
  if (ranks.rank() == 0) {
    try {
      const std::vector<std::string> outputs = arguments.texts("output");
      if (outputs.empty()) throw Failure(ErrorCode::Usage, "--output is needed");
      for (const std::string& output : outputs) image::can_save_volume(output).or_throw();
      loaded = load(arguments);
    } catch (const Failure&) {
      share(ranks, std::nullopt);  // lets the other ranks go
      throw;
    }
    task = loaded->task;
  }
  task = share(ranks, std::move(task));
  if (!task) return 0;
  const Listener listener = make_listener(arguments, decide(*task));
  TaskRun run(
      *task, ranks, listener,
      {.instructions = instructions_of(arguments), .plan_cache = arguments.optional_text("plan-cache").value_or("")});
  std::move(run.prepare()).or_throw();
  const Reconstruction result = run.iterate().or_throw();
  const std::optional<image::Volume> deviation = run.uncertainty(result).or_throw();
  if (ranks.rank() == 0) save(arguments, *loaded, run, result, deviation);
  return 0;
}

}  // namespace

Command by_hand_command(Processes& ranks) {
  Command command;
  command.name = "tomogrid-recon";
  command.summary = "reconstructs a SPECT scan from a file, or works for a node";
  command.usage = "SCAN -o VOLUME [options] | --job FOLDER | bench [--json]";
  command.description =
      "ML-EM or ordered subsets with attenuation, distance-dependent collimator response and decay. The result has "
      "the\n"
      "same bits for any number of threads and of ranks (mpirun -n N tomogrid-recon ...) and on every processor.\n"
      "docs/reconstruction.md derives the model. Exit status: 0 done, 2 usage, 3 bad input, 6 too little memory,\n"
      "8 cancelled, 9 no such file, 11 storage.";
  command.options = options();
  command.examples = {"tomogrid-recon scan.dcm -o volume.nii.gz",
                      "tomogrid-recon scan.hs -o volume.nii.gz -o volume.dcm --attenuation mu.hv --attenuation-unit "
                      "1/cm --iterations 10",
                      "tomogrid-recon scan.hs -o volume.hv --algorithm mlem --iterations 20 --sigma0-mm 1.466 "
                      "--sigma-slope 0.0163 --table",
                      "tomogrid-recon scan.dcm -o volume.nii.gz --window 1 --scatter-window 2 --attenuation ct-folder",
                      "tomogrid-recon scan.dcm -o slab.nii.gz --slices 20:40 --preset bone --uncertainty 32",
                      "mpirun -n 2 tomogrid-recon scan.dcm -o volume.nii.gz --threads 1",
                      "tomogrid-recon bench"};
  command.positional_max = 1;
  command.run = [&ranks](const Arguments& arguments) {
    if (arguments.flag("presets")) {
      if (ranks.rank() == 0) std::cout << job::list_of_presets(service());
      return 0;
    }
    if (const auto folder = arguments.optional_text("job")) return run_job(*folder, ranks);
    return reconstruct_files(arguments, ranks);
  };
  return command;
}

}  // namespace tomogrid::recon
