// Words of the command line in, words for people out.
#include <gtest/gtest.h>

#include "client/display.h"
#include "client/parameters.h"
#include "client/report.h"

namespace tomogrid::client {
namespace {

job::ServiceDescriptor service() {
  job::ServiceDescriptor service;
  service.service = {"recon.spect", 1};
  service.parameters = {{"iterations", job::ParameterType::Integer, 1, 100, {}, std::int64_t{4}, "", ""},
                        {"fwhm", job::ParameterType::Number, 0, 50, {}, 0.0, "mm", ""},
                        {"response", job::ParameterType::Boolean, 0, 0, {}, true, "", ""},
                        {"algorithm", job::ParameterType::Choice, 0, 0, {"osem", "mlem"}, std::string("osem"), "", ""}};
  return service;
}

TEST(Parameters, GetTheTypesOfTheService) {
  const auto parsed = parse_parameters({"iterations=7", "fwhm=3", "response=false", "algorithm=mlem"}, service());
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->at("iterations"), job::ParameterValue(std::int64_t{7}));
  EXPECT_EQ(parsed->at("fwhm"), job::ParameterValue(3.0));
  EXPECT_EQ(parsed->at("response"), job::ParameterValue(false));
  EXPECT_EQ(parsed->at("algorithm"), job::ParameterValue(std::string("mlem")));
}

TEST(Parameters, ThatDoNotFitNameTheParameter) {
  for (const char* word : {"iterations=x", "iterations=0", "iterations=101", "iterations=2.5", "fwhm=wide",
                           "response=maybe", "algorithm=fbp", "nonsense=1", "iterations", "=4", "UPPER=1"}) {
    const auto parsed = parse_parameters({word}, service());
    ASSERT_FALSE(parsed) << word;
    EXPECT_EQ(parsed.error().code, ErrorCode::Usage) << word;
  }
  EXPECT_FALSE(parse_parameters({"iterations=4", "iterations=5"}, service()));
}

TEST(Parameters, WithoutADescriptorGetTheNarrowestType) {
  const auto parsed = parse_parameters({"a=true", "b=3", "c=0.5", "d=osem"}, std::nullopt).or_throw();
  EXPECT_TRUE(std::holds_alternative<bool>(parsed.at("a")));
  EXPECT_TRUE(std::holds_alternative<std::int64_t>(parsed.at("b")));
  EXPECT_TRUE(std::holds_alternative<double>(parsed.at("c")));
  EXPECT_TRUE(std::holds_alternative<std::string>(parsed.at("d")));
}

TEST(Parameters, InWords) {
  EXPECT_EQ(in_words(job::Parameters{{"algorithm", std::string("osem")}, {"iterations", std::int64_t{4}}}),
            "algorithm osem, iterations 4");
  EXPECT_EQ(in_words(job::Parameters{}), "");
}

constexpr const char* kReport = R"({"service":"qa.spect/1","grade":"poor","measures":[
  {"name":"views.missing","version":1,"figure":4,"unit":"views","grade":"poor","sentence":"4 views of 60 are missing"},
  {"name":"motion","version":1,"figure":null,"unit":"mm","grade":"not judged","sentence":"too few views"},
  {"name":"counts.total","version":1,"figure":4001329.0,"unit":"counts","grade":"good","sentence":"enough"}]})";

TEST(Report, IsReadGenerically) {
  const auto report = parse_report(kReport).or_throw();
  EXPECT_EQ(report.grade, "poor");
  ASSERT_EQ(report.measures.size(), 3U);
  EXPECT_EQ(report.measures[0].figure, "4");
  EXPECT_EQ(warnings_of(report), std::vector<std::string>{"views.missing: 4 views of 60 are missing"});
  EXPECT_NE(in_words(report).find("verdict: poor"), std::string::npos);
}

TEST(Report, FromAHostileNodeIsHarmless) {
  for (const char* text : {"", "[]", "{}", "null", R"({"grade":"good"})", R"({"grade":1,"measures":[]})",
                           R"({"grade":"good","measures":[1]})", R"({"grade":"good","measures":[{"figure":1}]})"}) {
    EXPECT_FALSE(parse_report(text)) << text;
  }
  const auto report =
      parse_report("{\"grade\":\"good\",\"measures\":[{\"name\":\"x\",\"sentence\":\"\\u001b[31mred\"}]}").or_throw();
  EXPECT_EQ(report.measures[0].sentence.find('\x1b'), std::string::npos);
}

TEST(Display, ABarFitsTheTerminal) {
  wire::JobStatus status;
  status.state = job::JobState::Running;
  status.stage = "iterate";
  status.fraction = 0.45;
  status.step = 3;
  status.steps = 10;
  status.remaining = Seconds(12);
  EXPECT_EQ(progress_bar("alpha", status, 200), "[#########...........]  45 %  iterate 3 of 10, 12 s left, node alpha");
  EXPECT_EQ(progress_bar("alpha", status, 20).size(), 19U);
  status.stage = "\x1b[2Jevil";
  EXPECT_EQ(progress_bar("alpha", status, 200).find('\x1b'), std::string::npos);
  status.fraction = 7;
  EXPECT_NE(progress_bar("alpha", status, 200).find("100 %"), std::string::npos);
}

TEST(Display, ALineForALogChangesInTenths) {
  wire::JobStatus status;
  status.state = job::JobState::Running;
  status.stage = "iterate";
  status.fraction = 0.41;
  const std::string first = progress_line("alpha", status);
  status.fraction = 0.49;
  EXPECT_EQ(progress_line("alpha", status), first);
  status.fraction = 0.51;
  EXPECT_NE(progress_line("alpha", status), first);
}

}  // namespace
}  // namespace tomogrid::client
