#include "base/options.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"

namespace tomogrid {
namespace {

Command sample() {
  Command command;
  command.name = "tomogrid sample";
  command.summary = "a sample";
  command.usage = "SCAN -o FILE";
  command.options = {{"output,o", "FILE", "where to", std::nullopt, true}, {"cores", "N", "how many", "2"}, {"fresh", "", "again"}};
  command.examples = {"tomogrid sample a -o b"};
  command.positional_min = command.positional_max = 1;
  return command;
}

TEST(Options, WordsDefaultsAndRepetitionArrive) {
  const auto arguments = sample().parse({"scan.dcm", "-o", "a", "--output=b", "--fresh"});
  ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
  EXPECT_EQ(arguments->texts("output"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(arguments->integer("cores", 0, 8), 2);
  EXPECT_FALSE(arguments->given("cores"));
  EXPECT_TRUE(arguments->flag("fresh"));
  EXPECT_EQ(arguments->positional(), (std::vector<std::string>{"scan.dcm"}));
}

TEST(Options, WrongWordsAreRefused) {
  EXPECT_FALSE(sample().parse({}).has_value());
  EXPECT_FALSE(sample().parse({"a", "b"}).has_value());
  EXPECT_FALSE(sample().parse({"a", "--nothing"}).has_value());
  EXPECT_FALSE(sample().parse({"a", "--cores", "1", "--cores", "2"}).has_value());
  EXPECT_FALSE(sample().parse({"a", "--out", "x"}).has_value()) << "abbreviations change meaning when options are added";
}

TEST(Options, NumbersMustBeWholeAndInRange) {
  for (const char* text : {"0", "9", "2x", "", "1e1", "-1"}) {
    const auto arguments = sample().parse({"a", std::string("--cores=") + text});
    if (!arguments) continue;
    EXPECT_THROW((void)arguments->integer("cores", 1, 8), Failure) << text;
  }
}

TEST(Options, AConfigurationFileGivesWayToTheCommandLine) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "role.ini";
  std::ofstream(file) << "cores = 5\noutput = from-file\nfresh = true\n";
  const auto arguments = sample().parse({"a", "--config", file.string()});
  ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
  EXPECT_EQ(arguments->integer("cores", 0, 8), 5);
  EXPECT_TRUE(arguments->flag("fresh"));
  EXPECT_EQ(sample().parse({"a", "--config", file.string(), "--cores", "3"})->integer("cores", 0, 8), 3);
  std::ofstream(file) << "colour = red\n";
  EXPECT_FALSE(sample().parse({"a", "--config", file.string()}).has_value());
}

TEST(Options, HelpShowsOptionsExamplesAndExitStatus) {
  const std::string help = sample().help();
  for (const char* part : {"--cores N", "tomogrid sample a -o b", "Exit status", "--json"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << "\n" << help;
  }
}

}  // namespace
}  // namespace tomogrid
