// The worker program `tomogrid-qa`: by hand on a file, or as a job.
#include <iostream>

#include "base/options.h"
#include "base/text.h"
#include "image/files.h"
#include "qa/qa.h"
#include "qa/task.h"

namespace {

using namespace tomogrid;

int judge_file(const Arguments& arguments) {
  image::LoadOptions options;
  if (arguments.given("window")) options.window = static_cast<std::size_t>(arguments.integer("window", 1, 64));
  options.sum_gates = arguments.flag("sum-gates");
  const image::LoadedScan scan = image::load_scan(arguments.positional().front(), options).or_throw();
  for (const std::string& warning : scan.warnings) std::cerr << "tomogrid-qa: " << printable(warning) << "\n";
  const qa::Report report = qa::judge(scan.projections).or_throw();
  std::cout << (arguments.flag("json") ? qa::to_json(report) + "\n" : qa::to_text(report));
  return 0;
}

int run(const Arguments& arguments) {
  const bool job = arguments.given("job");
  if (job == !arguments.positional().empty()) {
    throw Failure(ErrorCode::Usage, "one scan, or --job FOLDER, is needed");
  }
  return job ? qa::run_job(arguments.text("job")) : judge_file(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  Command command;
  command.name = "tomogrid-qa";
  command.summary = "judges a SPECT acquisition before reconstruction";
  command.usage = "SCAN | --job FOLDER";
  command.description =
      "Looks at the counts, the views, the detector's bins, the field of view and the patient's motion. Each measure "
      "is a\n"
      "figure, a grade (good, acceptable, poor) and a sentence; the verdict is the worst grade. docs/quality.md "
      "explains\n"
      "them. Exit status 0 means that the scan was judged, whatever the verdict.";
  command.options = {{"job", "FOLDER", "run as a worker of service qa.spect/1 in this folder (job/worker_protocol.h)"},
                     {"window", "N", "energy window, from 1, when the file has several"},
                     {"sum-gates", "", "add the gates of a gated scan"}};
  command.examples = {"tomogrid-qa scan.dcm", "tomogrid-qa scan.hs --json"};
  command.positional_max = 1;
  command.run = run;
  return command.main(argc, argv);
}
