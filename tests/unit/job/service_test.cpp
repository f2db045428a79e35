#include "job/service.h"

#include <gtest/gtest.h>

namespace tomogrid::job {
namespace {

constexpr const char* kService = R"({
  "name": "recon.spect", "version": 1, "summary": "s", "command": ["tomogrid-recon"], "input": "streamed",
  "parameters": [
    {"name": "iterations", "type": "integer", "min": 1, "max": 200, "default": 10},
    {"name": "filter-fwhm", "type": "number", "min": 0, "max": 50, "default": 0, "unit": "mm"},
    {"name": "algorithm", "type": "choice", "choices": ["mlem", "osem"], "default": "mlem"},
    {"name": "fast", "type": "boolean", "default": false}],
  "inputs": [{"name": "projections.f32", "max_bytes": 1000}],
  "outputs": [{"name": "volume.f32", "max_bytes": 1000}]})";

TEST(Service, DefaultsAreFilledInAndTyped) {
  const auto service = parse_service(kService);
  ASSERT_TRUE(service.has_value()) << service.error().message;
  EXPECT_TRUE(service->streamed_input);
  const auto complete = complete_parameters(*service, {{"filter-fwhm", std::int64_t{8}}});
  ASSERT_TRUE(complete.has_value());
  EXPECT_EQ(canonical_text(*complete), R"({"algorithm":"mlem","fast":false,"filter-fwhm":8.0,"iterations":10})");
  EXPECT_EQ(parse_parameters(canonical_text(*complete)).value(), *complete);
}

TEST(Service, WrongParametersAreNamed) {
  const auto service = parse_service(kService).value();
  const std::vector<std::pair<Parameters, std::string>> cases{
      {{{"iterations", std::int64_t{0}}}, "iterations"}, {{{"iterations", 2.5}}, "iterations"},
      {{{"algorithm", std::string("fbp")}}, "algorithm"}, {{{"filter-fwhm", 51.0}}, "filter-fwhm"},
      {{{"fast", std::int64_t{1}}}, "fast"},              {{{"patient", std::string("x")}}, "patient"}};
  for (const auto& [parameters, name] : cases) {
    const auto refused = complete_parameters(service, parameters);
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput);
    EXPECT_NE(refused.error().message.find(name), std::string::npos) << refused.error().message;
  }
}

TEST(Service, PresetsAreParametersOfTheService) {
  const auto with = [](const std::string& presets) {
    std::string document = kService;
    document.insert(document.rfind('}'), ", \"presets\": " + presets);
    return parse_service(document);
  };
  const auto service = with(R"([{"name": "bone", "study": "s", "parameters": {"iterations": 5, "filter-fwhm": 8}}])");
  ASSERT_TRUE(service.has_value()) << service.error().message;
  const Preset* bone = find_preset(*service, "bone");
  ASSERT_NE(bone, nullptr);
  EXPECT_EQ(canonical_text(bone->parameters), R"({"filter-fwhm":8.0,"iterations":5})");
  EXPECT_EQ(find_preset(*service, "liver"), nullptr);
  EXPECT_EQ(list_of_presets(*service), "bone      s\n          {\"filter-fwhm\":8.0,\"iterations\":5}\n");
  for (const char* wrong :
       {R"([{"name": "bone", "study": "s", "parameters": {"iterations": 500}}])",
        R"([{"name": "bone", "study": "s", "parameters": {"speed": 5}}])",
        R"([{"name": "bone", "study": "s"}])", R"([{"name": "Bone", "study": "s", "parameters": {}}])",
        R"([{"name": "a", "study": "s", "parameters": {}}, {"name": "a", "study": "t", "parameters": {}}])"}) {
    const auto refused = with(wrong);
    ASSERT_FALSE(refused.has_value()) << wrong;
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput) << wrong;
  }
}

TEST(Service, EveryTruncationIsRefused) {
  const std::string document = kService;
  for (std::size_t length = 0; length + 1 < document.size(); ++length) {
    EXPECT_FALSE(parse_service(document.substr(0, length)).has_value()) << length;
  }
}

TEST(Service, NamesThatCouldLeaveAFolderAreRefused) {
  for (const char* name : {"", "../x", "a/b", "A", ".hidden", "a_b"}) EXPECT_FALSE(is_name(name)) << name;
  EXPECT_FALSE(parse_service_name("recon.spect").has_value());
  EXPECT_FALSE(parse_service_name("recon.spect/0").has_value());
  EXPECT_FALSE(parse_service_name("recon.spect/1x").has_value());
  EXPECT_EQ(to_string(parse_service_name("recon.spect/2").value()), "recon.spect/2");
}

}  // namespace
}  // namespace tomogrid::job
