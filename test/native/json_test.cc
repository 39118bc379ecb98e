#include "base/json.h"

#include "check.h"

namespace msb_test {
namespace {

using msb::Json;

bool Parses(std::string_view text) { return Json::Parse(text, 1 << 20).ok(); }

std::string RoundTrip(std::string_view text) {
  const auto json = Json::Parse(text, 1 << 20);
  return json.ok() ? json.value().Serialize() : "error";
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

void TestRefused() {
  for (const char* text :
       {"", " ", "{", "[", "[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "'a'", "nul", "truefalse", "01",
        "1.", ".5", "+1", "-", "1e", "1e999", "NaN", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
        "\"\n\"", "1 2", "{}{}", "{\"a\":1,\"a\":2}", "{\"a\\u0000\":1}", "\"\\ud800\"",
        "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\udc7f\"", "\"\\udd00\"", "\"\xff\"",
        "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "[1 2]"}) {
    CHECK_NAMED(!Parses(text), text);
  }
  CHECK(!Parses(std::string_view("\"a\0\"", 4)));
  CHECK(Parses(Nested(16)));
  CHECK(!Parses(Nested(17)));
  CHECK(!Parses(std::string(100000, '[')));
  CHECK(Json::Parse("[1]", 3).ok());
  CHECK(!Json::Parse("[1]", 2).ok());
}

void TestAccepted() {
  CHECK(RoundTrip(" { \"b\" : [ true , false , null ] , \"a\" : -0 } ") ==
        "{\"a\":0,\"b\":[true,false,null]}");
  CHECK(RoundTrip("\"\\u00e4\\ud83d\\ude00\\/\\n\"") == "\"\xc3\xa4\xf0\x9f\x98\x80/\\n\"");
  CHECK(RoundTrip("9007199254740991") == "9007199254740991");
  CHECK(RoundTrip("-9007199254740991") == "-9007199254740991");
  const auto beyond = Json::Parse("9007199254740992", 100);
  CHECK(beyond.ok() && beyond.value().AsInt() == nullptr && beyond.value().AsDouble() != nullptr);
  CHECK(RoundTrip("1.5") == "1.5");
  const auto with_nul = Json::Parse("\"a\\u0000b\"", 100);
  CHECK(with_nul.ok() && with_nul.value().AsString()->size() == 3);
}

void TestBytes() {
  const auto json = Json::Parse("\"/tmp/\\udcff\\uDC80x\"", 100);
  CHECK(json.ok() && *json.value().AsString() == "/tmp/\xff\x80x");
  CHECK(Json("\xff\x80x").Serialize() == "\"\\udcff\\udc80x\"");
  CHECK(Json("\xed\xa0\x80").Serialize() == "\"\\udced\\udca0\\udc80\"");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = std::string("a") + static_cast<char>(byte) + "b";
    const auto back = Json::Parse(Json(text).Serialize(), 100);
    CHECK_NAMED(back.ok() && *back.value().AsString() == text, std::to_string(byte));
  }
}

void TestMembers() {
  const auto parsed = Json::Parse("{\"i\":5,\"s\":\"x\",\"b\":true,\"l\":[\"p\",\"q\"]}", 100);
  CHECK(parsed.ok());
  if (!parsed.ok()) return;
  const Json& json = parsed.value();
  CHECK(json.GetInt("i", 0, 5).ok() && !json.GetInt("i", 0, 4).ok() && !json.GetInt("i", 6, 9).ok());
  CHECK(json.GetInt("none", 0, 9, 7).value() == 7 && !json.GetInt("none", 0, 9).ok());
  CHECK(json.GetInt("s", 0, 9, 7).status().operation() == "s");
  CHECK(json.GetString("s").value() == "x" && !json.GetString("i").ok());
  CHECK(json.GetBool("b").value() && !json.GetBool("i").ok());
  CHECK(json.GetStrings("l", 2).value().size() == 2 && !json.GetStrings("l", 1).ok());
  CHECK(Json(1).Find("a") == nullptr);
}

}  // namespace

void TestJson() {
  TestRefused();
  TestAccepted();
  TestBytes();
  TestMembers();
}

}  // namespace msb_test
