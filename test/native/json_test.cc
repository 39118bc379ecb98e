#include "base/json.h"

#include <string>

#include "check.h"

namespace msb {
namespace {

constexpr size_t kMax = 65'536;

bool Accepts(std::string_view text) { return Json::Parse(text, kMax).ok(); }

// The text after reading and writing; empty when it is refused.
std::string RoundTrip(std::string_view text) {
  const StatusOr<Json> json = Json::Parse(text, kMax);
  return json.ok() ? json.value().Serialize() : "";
}

std::string Nested(int depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(JsonWritesWhatItRead) {
  for (const char *text :
       {"null", "true", "false", "0", "-1", "9007199254740991",
        "-9007199254740991", "1.5", "\"\"", "\"a b\"", "[]", "{}",
        "[1,[2,{\"a\":null}],\"x\"]", "{\"a\":1,\"b\":[true]}",
        "\"\\\"\\\\\\n\"", "\"\\u0000\\u001f\""}) {
    EXPECT_FOR(text, RoundTrip(text) == text);
  }
  EXPECT(RoundTrip(" { \"a\" :\t[ 1 ,\r\n2 ] } ") == "{\"a\":[1,2]}");
}

TEST(JsonRefusesWhatIsNotJson) {
  for (const char *text : {"",
                           " ",
                           "nul",
                           "truex",
                           "01",
                           "-",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "1e+",
                           "0x1",
                           "[1,]",
                           "[1 2]",
                           "[",
                           "]",
                           "{",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:2}",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\n\"",
                           "\"\t\"",
                           "1 2",
                           "[]x",
                           "'a'",
                           "NaN",
                           "Infinity",
                           "1e999",
                           "-1e999",
                           "// a\n1",
                           "{\"a\":1,\"a\":2}",
                           "{\"a\\u0000\":1}",
                           "{\"a\":1,\"\\u0061\":2}"}) {
    EXPECT_FOR(text, !Accepts(text));
  }
  EXPECT(!Accepts(std::string_view("1\0", 2)));
  EXPECT(!Accepts(std::string_view("\0", 1)));
}

TEST(JsonKeepsIntegersExact) {
  const auto is_int = [](const char *text) {
    const StatusOr<Json> json = Json::Parse(text, kMax);
    return json.ok() && json.value().AsInt() != nullptr;
  };
  EXPECT(is_int("9007199254740991"));
  EXPECT(!is_int("9007199254740992"));
  EXPECT(is_int("-9007199254740991"));
  EXPECT(!is_int("-9007199254740992"));
  EXPECT(!is_int("99999999999999999999999999"));
  EXPECT(!is_int("1.0"));
  EXPECT(!is_int("1e2"));
  EXPECT(Accepts("1e2"));
}

TEST(JsonHasDepthAndSizeLimits) {
  EXPECT(Accepts(Nested(16)));
  EXPECT(!Accepts(Nested(17)));
  EXPECT(!Accepts(std::string(60'000, '[')));
  std::string objects;
  for (int i = 0; i < 17; ++i)
    objects += "{\"a\":";
  EXPECT(!Accepts(objects + "1" + std::string(17, '}')));
  EXPECT(!Json::Parse("[1]", 2).ok());
  EXPECT(Json::Parse("[1]", 3).ok());
}

TEST(JsonCarriesAnyByteAsLoneSurrogate) {
  const std::string bytes = "a\x80\xff\xc3z";
  EXPECT(Json(bytes).Serialize() == "\"a\\udc80\\udcff\\udcc3z\"");
  const StatusOr<Json> json = Json::Parse("\"a\\udc80\\uDCFF\\udcc3z\"", kMax);
  EXPECT(json.ok() && *json.value().AsString() == bytes);
  std::string all;
  for (int i = 0; i < 256; ++i)
    all.push_back(static_cast<char>(i));
  const StatusOr<Json> again = Json::Parse(Json(all).Serialize(), kMax);
  EXPECT(again.ok() && *again.value().AsString() == all);
  // Surrogates and overlong forms in UTF-8 are no characters but bytes.
  EXPECT(Json("\xed\xa0\x80").Serialize() == "\"\\udced\\udca0\\udc80\"");
  EXPECT(Json("\xc0\xaf").Serialize() == "\"\\udcc0\\udcaf\"");
  EXPECT(Json("\xf4\x90\x80\x80").Serialize() ==
         "\"\\udcf4\\udc90\\udc80\\udc80\"");
}

TEST(JsonReadsUnicode) {
  const auto decoded = [](const char *text) -> std::string {
    const StatusOr<Json> json = Json::Parse(text, kMax);
    return json.ok() ? *json.value().AsString() : "refused";
  };
  EXPECT(decoded("\"\\u00e9\\u20ac\\ud83d\\ude00\"") ==
         "\u00e9\u20ac\U0001f600");
  EXPECT(decoded("\"\u00e9\u20ac\U0001f600\"") == "\u00e9\u20ac\U0001f600");
  // A high surrogate before an escaped byte makes a pair.
  EXPECT(decoded("\"\\ud800\\udc80\"") == "\U00010080");
  for (const char *text :
       {"\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\ud800\"", "\"\\udc00\"",
        "\"\\udc7f\"", "\"\\udd00\"", "\"\\udfff\"", "\"\\ud800\\u0041\"",
        "\"\x80\"", "\"\xff\"", "\"\xc3\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\""}) {
    EXPECT_FOR(text, decoded(text) == "refused");
  }
}

TEST(JsonMembersAreChecked) {
  const StatusOr<Json> json =
      Json::Parse("{\"s\":\"x\",\"n\":5,\"b\":true,\"l\":[\"a\",\"b\"],\"m\":["
                  "1],\"z\":null}",
                  kMax);
  EXPECT(json.ok());
  if (!json.ok())
    return;
  const Json &body = json.value();
  EXPECT(body.GetString("s").ok() && body.GetString("s").value() == "x");
  EXPECT(!body.GetString("n").ok() &&
         body.GetString("n").status().operation() == "n");
  EXPECT(!body.GetString("q").ok());
  EXPECT(body.GetString("q", "d").value() == "d");
  EXPECT(!body.GetString("z", "d").ok());
  EXPECT(body.GetInt("n", 5, 5).value() == 5);
  EXPECT(!body.GetInt("n", 6, 9).ok());
  EXPECT(!body.GetInt("n", 0, 4).ok());
  EXPECT(body.GetInt("q", 0, 4, 3).value() == 3);
  EXPECT(body.GetBool("b").value());
  EXPECT(!body.GetBool("n").ok());
  EXPECT(body.GetStrings("l", 2).value().size() == 2);
  EXPECT(!body.GetStrings("l", 1).ok());
  EXPECT(!body.GetStrings("m", 9).ok());
  EXPECT(body.Find("q") == nullptr);
  EXPECT(Json(1).Find("q") == nullptr);
  EXPECT(Json(1.0 / 0.0).Serialize() == "null");
}

} // namespace
} // namespace msb
