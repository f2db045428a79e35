#include "registry/address.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/text.h"

namespace tomogrid::registry {

namespace {

certs::TransportPublicKey key() {
  certs::TransportPublicKey made;
  for (std::size_t i = 0; i < 32; ++i) made.bytes[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return made;
}

TEST(Address, BothFormsOfTheKeyAreReadAndHexIsWritten) {
  for (const std::string& text : {to_hex(key().bytes), certs::z85(key())}) {
    const auto target = parse_address("10.1.2.3:4040," + text, certs::Role::Manager);
    ASSERT_TRUE(target) << target.error().message;
    EXPECT_EQ(target->host, "10.1.2.3");
    EXPECT_EQ(target->control_port, 4040);
    EXPECT_EQ(target->transport_key, key());
    EXPECT_EQ(target->role, certs::Role::Manager);
    EXPECT_EQ(address_text(*target), "10.1.2.3:4040," + to_hex(key().bytes));
  }
  const auto six = parse_address("[fd00::1]:4040," + to_hex(key().bytes), certs::Role::Registry);
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host, "fd00::1");
  EXPECT_EQ(parse_address(address_text(*six), certs::Role::Registry)->host, "fd00::1");
}

TEST(Address, EachWrongPartIsNamed) {
  const std::string hex = to_hex(key().bytes);
  const std::pair<std::string, std::string> wrong[] = {{"10.1.2.3:4040", "key is missing"},
                                                       {"10.1.2.3," + hex, "HOST:PORT"},
                                                       {":4040," + hex, "HOST:PORT"},
                                                       {"h:0," + hex, "HOST:PORT"},
                                                       {"h:65536," + hex, "HOST:PORT"},
                                                       {"h:-1," + hex, "HOST:PORT"},
                                                       {"h:40x," + hex, "HOST:PORT"},
                                                       {"fd00::1:40," + hex, "HOST:PORT"},
                                                       {"h:40," + hex.substr(1), "64 hexadecimal"},
                                                       {"h:40," + hex.substr(1) + "g", "64 hexadecimal"},
                                                       {"h:40,", "64 hexadecimal"},
                                                       {"a b:40," + hex, "HOST:PORT"}};
  for (const auto& [text, words] : wrong) {
    const auto target = parse_address(text, certs::Role::Registry);
    ASSERT_FALSE(target) << text;
    EXPECT_EQ(target.error().code, ErrorCode::Usage);
    EXPECT_NE(target.error().message.find(words), std::string::npos) << target.error().message;
  }
}

TEST(Address, AFileHoldsOneALine) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "registries";
  const std::string hex = to_hex(key().bytes);
  std::ofstream(path) << "# two of them\n\n  a:1," << hex << "  \r\nb:2," << hex << "\n";
  const auto targets = read_addresses({path.string(), "c:3," + hex}, certs::Role::Registry);
  ASSERT_TRUE(targets) << targets.error().message;
  ASSERT_EQ(targets->size(), 3u);
  EXPECT_EQ((*targets)[0].host, "a");
  EXPECT_EQ((*targets)[1].control_port, 2);
  EXPECT_EQ((*targets)[2].host, "c");
  EXPECT_FALSE(read_addresses({(folder.path() / "absent").string()}, certs::Role::Registry));
  std::ofstream(path) << "nonsense\n";
  const auto bad = read_addresses({path.string()}, certs::Role::Registry);
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("registries"), std::string::npos);
}

TEST(Address, WhereToListen) {
  EXPECT_EQ(parse_listen("127.0.0.1:0")->port, 0);
  EXPECT_EQ(parse_listen("*:4040")->host, "*");
  EXPECT_FALSE(parse_listen("127.0.0.1"));
  EXPECT_FALSE(parse_listen("127.0.0.1:70000"));
}

}  // namespace

}  // namespace tomogrid::registry
