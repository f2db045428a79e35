#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "client/commands.h"
#include "client/deliver.h"
#include "client/parameters.h"
#include "client/report.h"
#include "client/run.h"
#include "client/scan.h"
#include "client/scan_options.h"

namespace tomogrid::client {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Parameters that have an option of their own, since everybody uses them.
constexpr const char* kNamedParameters[] = {"algorithm", "iterations", "subsets"};

const job::ServiceDescriptor& with_presets(const std::optional<job::ServiceDescriptor>& service) {
  if (!service) {
    throw Failure(ErrorCode::NotFound, "presets stand in the description of " + job::to_string(kReconService) +
                                           ", which is not installed here");
  }
  return *service;
}

job::Parameters parameters_of(const Arguments& arguments) {
  std::vector<std::string> words = arguments.texts("param");
  for (const char* name : kNamedParameters) {
    if (const auto value = arguments.optional_text(name)) words.push_back(std::string(name) + "=" + *value);
  }
  const std::optional<job::ServiceDescriptor> service = find_service(kReconService);
  job::Parameters parameters = parse_parameters(words, service).or_throw();
  if (const auto name = arguments.optional_text("preset")) {
    const job::Preset* preset = job::find_preset(with_presets(service), *name);
    if (preset == nullptr)
      throw Failure(ErrorCode::Usage, "--preset " + *name + ": none of\n" + job::list_of_presets(*service));
    for (const auto& [parameter, value] : preset->parameters) parameters.emplace(parameter, value);
  }
  return parameters;
}

Delivery delivery_of(const Arguments& arguments, const job::Parameters& parameters, const image::Identity& identity) {
  Delivery delivery;
  for (const std::string& output : arguments.texts("output")) delivery.outputs.push_back(fs::absolute(output).string());
  if (delivery.outputs.empty())
    throw Failure(ErrorCode::Usage, "-o is needed: where the volume goes, say volume.nii.gz");
  const auto receipt = arguments.optional_text("receipt");
  delivery.receipt = receipt ? fs::absolute(*receipt).string() : delivery.outputs.front() + ".receipt";
  if (const auto previews = arguments.optional_text("previews")) delivery.previews = fs::absolute(*previews).string();
  delivery.parameters_in_words = in_words(parameters);
  delivery.identity = identity.serialise();
  return delivery;
}

std::uint32_t cores_of(const Arguments& arguments) {
  return static_cast<std::uint32_t>(arguments.integer("cores", 0, 100'000));
}

std::optional<NodePin> node_of(const Arguments& arguments) {
  const auto text = arguments.optional_text("node");
  if (!text) return std::nullopt;
  return parse_node(*text).or_throw();
}

JobPlan recon_plan(const Arguments& arguments, const PreparedScan& scan, const job::Parameters& parameters) {
  JobPlan plan;
  plan.request.service = kReconService;
  plan.request.parameters = parameters;
  plan.request.needs = recon_needs(scan, cores_of(arguments), passes_of(parameters));
  plan.request.needs.labels = arguments.texts("label");
  plan.request.inputs = scan.facts;
  plan.request.outputs_required = {streams::volume_header, streams::volume_data};
  plan.request.node = node_of(arguments);
  plan.request.fresh = arguments.flag("fresh");
  plan.request.previews = arguments.given("previews");
  plan.inputs = scan.inputs;
  return plan;
}

// The quality check looks at the projections alone.
JobPlan check_plan(const Arguments& arguments, const PreparedScan& scan) {
  JobPlan plan;
  std::vector<InputStream> inputs;
  for (const InputStream& input : *scan.inputs) {
    if (input.name == streams::projections_header || input.name == streams::projections_data) inputs.push_back(input);
  }
  for (const job::StreamFact& fact : scan.facts) {
    if (fact.name == streams::projections_header || fact.name == streams::projections_data)
      plan.request.inputs.push_back(fact);
  }
  plan.inputs = std::make_shared<const std::vector<InputStream>>(std::move(inputs));
  plan.request.service = kQaService;
  plan.request.needs = qa_needs(scan);
  plan.request.outputs_required = {streams::report};
  plan.request.node = node_of(arguments);
  plan.request.fresh = arguments.flag("fresh");
  return plan;
}

json as_json(const QualityReport& report) {
  json measures = json::array();
  for (const Measure& measure : report.measures) {
    measures.push_back({{"name", measure.name},
                        {"figure", measure.figure},
                        {"unit", measure.unit},
                        {"grade", measure.grade},
                        {"sentence", measure.sentence}});
  }
  return {{"service", report.service}, {"grade", report.grade}, {"measures", std::move(measures)}};
}

std::optional<QualityReport> report_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  auto report = parse_report(*text);
  return report ? std::optional(*std::move(report)) : std::nullopt;
}

int run_recon(const Arguments& arguments) {
  if (arguments.flag("presets")) {
    std::cout << job::list_of_presets(with_presets(find_service(kReconService)));
    return 0;
  }
  if (arguments.positional().empty())
    throw Failure(ErrorCode::Usage, "a scan is needed; usage: tomogrid recon SCAN -o VOLUME [options]");
  const auto began = std::chrono::steady_clock::now();
  const job::Parameters parameters = parameters_of(arguments);
  const bool quiet = arguments.flag("json");
  const auto attenuation = attenuation_of(arguments);
  can_deliver(delivery_of(arguments, parameters, {})).or_throw();
  const PreparedScan scan = prepare_scan(arguments.positional().front(), load_options(arguments), attenuation,
                                         scatter_of(arguments, arguments.positional().front()))
                                .or_throw();
  Session session(arguments);
  if (!quiet) std::cerr << scan.description << "\n";
  for (const std::string& warning : scan.warnings) std::cerr << "warning: " << printable(warning) << "\n";

  JobPlan plan = recon_plan(arguments, scan, parameters);
  plan.delivery = delivery_of(arguments, parameters, scan.identity);
  std::optional<JobPlan> check;
  if (!arguments.flag("no-check") && !arguments.flag("detach")) check = check_plan(arguments, scan);
  const bool detach = arguments.flag("detach");
  const Outcome outcome = run_job(session, plan, check, {.detach = detach, .json = quiet});

  const auto report = report_of(outcome.check_report);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (outcome.detached && outcome.job) {
    if (quiet) {
      std::cout << json{{"job", job::to_string(*outcome.job)}, {"detached", true}, {"node", outcome.node}}.dump()
                << "\n";
    } else {
      std::cout << "detached from job " << job::short_text(*outcome.job) << "; collect it with: tomogrid attach "
                << job::short_text(*outcome.job) << "\n";
    }
    return detach ? 0 : static_cast<int>(ErrorCode::Interrupted);
  }
  if (outcome.error) throw Failure(*outcome.error);
  if (quiet) {
    json result{{"job", job::to_string(*outcome.job)},
                {"node", outcome.node},
                {"files", outcome.files},
                {"warnings", outcome.warnings},
                {"seconds", took.count()}};
    if (report) result["quality"] = as_json(*report);
    std::cout << result.dump() << "\n";
    return 0;
  }
  if (report) {
    for (const std::string& warning : warnings_of(*report)) std::cerr << "quality: " << warning << "\n";
  }
  for (const std::string& file : outcome.files) std::cout << file << "\n";
  std::cerr << "done at node " << outcome.node << " in " << human_seconds(took.count()) << "\n";
  return 0;
}

int run_qa_check(const Arguments& arguments) {
  const PreparedScan scan =
      prepare_scan(arguments.positional().front(), load_options(arguments), std::nullopt).or_throw();
  Session session(arguments);
  const bool quiet = arguments.flag("json");
  for (const std::string& warning : scan.warnings) std::cerr << "warning: " << printable(warning) << "\n";
  const JobPlan plan = check_plan(arguments, scan);
  const Outcome outcome = run_job(session, plan, std::nullopt, {.json = quiet});
  if (outcome.error) throw Failure(*outcome.error);
  if (!outcome.report) throw Failure(ErrorCode::Unverified, "the node's result has no report");
  const QualityReport report = parse_report(*outcome.report).or_throw();
  if (quiet) {
    json result = as_json(report);
    result["node"] = outcome.node;
    std::cout << result.dump() << "\n";
  } else {
    std::cout << in_words(report);
  }
  return report.grade == "poor" ? static_cast<int>(ErrorCode::BadInput) : 0;
}

std::vector<Option> job_options() {
  std::vector<Option> options = scan_options();
  options.push_back({"node", "NAME", "this node, or HOST:PORT,KEY: needs neither manager nor registry"});
  options.push_back({"fresh", "", "a new job, also when an unfinished one of the same scan and parameters is there"});
  return options;
}

}  // namespace

Command recon_command() {
  std::vector<Option> options{
      {"output,o", "FILE", "the volume: .nii, .nii.gz, .dcm, .hv or .png; several allowed", std::nullopt, true},
      {"algorithm", "NAME", "osem or mlem [the service's default: osem]"},
      {"iterations", "N", "passes over all views [4]"},
      {"subsets", "N", "ordered subsets [8]"},
      {"preset", "NAME", "parameters for a kind of study; those given beside it win"},
      {"presets", "", "print the presets and stop"},
      {"param", "NAME=VALUE", "any other parameter of the service; several allowed", std::nullopt, true},
      {"cores", "N", "at most so many cores; 0: all that are free at the node", "0"},
      {"label", "WORD", "only nodes with this label; several allowed", std::nullopt, true},
      {"detach", "", "leave once the node has the scan; tomogrid attach collects the result"},
      {"receipt", "FILE", "where the node's receipt goes [beside the first output: OUTPUT.receipt]"},
      {"previews", "DIR", "keep the pictures that the node sends while it iterates"},
      {"no-check", "", "do not have the scan's quality judged beside"}};
  for (Option& option : attenuation_options()) options.push_back(std::move(option));
  for (Option& option : scatter_options()) options.push_back(std::move(option));
  for (Option& option : job_options()) options.push_back(std::move(option));
  return {.name = "tomogrid recon",
          .summary = "reconstruct a SPECT acquisition on the node with the most free FLOPs",
          .usage = "SCAN -o VOLUME [-o VOLUME ...] [options] | --presets",
          .description =
              "SCAN is DICOM NM TOMO or Interfile. Who it is of stays here: only counts and geometry are sent, and a "
              ".dcm result "
              "gets its identity back on this machine. A node that dies is replaced by the next one; a cut is resumed; "
              "the same "
              "command run again goes on with the unfinished job. The result is taken only if the node's signed "
              "receipt binds it "
              "to what was sent. Beside the first output lie VOLUME.passport.json, which says what was computed and how "
              "long each "
              "stage took, and the receipt. On a terminal Ctrl-C asks whether to detach or to cancel; elsewhere it detaches.",
          .options = with_settings(std::move(options)),
          .examples =
              {"tomogrid recon scan.dcm -o volume.nii.gz",
               "tomogrid recon scan.dcm --attenuation mu.nii.gz --attenuation-unit 1/cm -o volume.dcm -o volume.png",
               "tomogrid recon scan.dcm -o volume.nii.gz --window 1 --scatter-window 2 --param uncertainty=16",
               "tomogrid recon scan.dcm -o volume.dcm --preset heart --attenuation ct-folder --attenuation-unit HU",
               "tomogrid recon scan.hs -o volume.hv --node alpha --iterations 10 --param filter-fwhm-mm=8"},
          .positional_max = 1,
          .run = run_recon};
}

Command qa_check_command() {
  return {.name = "tomogrid qa check",
          .summary = "is this acquisition worth reconstructing?",
          .usage = "SCAN [options]",
          .description =
              "Sends the scan, without its identity, to a node that judges counts, views, bins, field of view and "
              "motion, each with a "
              "figure, a grade and a sentence. Exit status 0 for good and acceptable, 3 for poor.",
          .options = with_settings(job_options()),
          .examples = {"tomogrid qa check scan.dcm", "tomogrid qa check scan.hs --json"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_qa_check};
}

}  // namespace tomogrid::client
