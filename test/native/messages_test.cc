#include "agent/messages.h"

#include <sys/resource.h>

#include "agent/encoding.h"
#include "check.h"

namespace msb::agent {
namespace {

Json Parsed(const std::string &text) {
  StatusOr<Json> json = Json::Parse(text, 65'536);
  EXPECT_FOR(text, json.ok());
  return json.ok() ? json.value() : Json();
}

TEST(Base64IsStrict) {
  const auto decoded = [](std::string_view text) {
    std::string out;
    return DecodeBase64(text, &out) ? out : "refused";
  };
  EXPECT(decoded("") == "");
  EXPECT(decoded("AA==") == std::string(1, '\0'));
  EXPECT(decoded("aGVsbG8=") == "hello");
  EXPECT(decoded("/+8A") == std::string("\xff\xef\x00", 3));
  for (const char *text :
       {"A", "AA", "AAA", "A===", "AB==", "AA=A", "AA-_", "AAA\n", "===="}) {
    EXPECT_FOR(text, decoded(text) == "refused");
  }
}

TEST(ExecStartIsRead) {
  const StatusOr<ExecStartRequest> start = ParseExecStart(Parsed(
      R"({"argv":["sh","-c","x"],"env":["A=b=c","E="],"cwd":"/tmp","user":"a:b","pty":{"cols":80,)"
      R"("rows":24},"stdin":true,"timeoutMs":5,"rlimits":[{"resource":"nofile","soft":1,"hard":2},)"
      R"({"resource":"core","soft":-1,"hard":-1}],"unknown":1})"));
  EXPECT(start.ok());
  if (!start.ok())
    return;
  const ExecStartRequest &request = start.value();
  EXPECT(request.argv.size() == 3 && request.env.size() == 2 &&
         request.cwd == "/tmp");
  EXPECT(request.user == "a:b" && request.has_stdin && request.timeout_ms == 5);
  EXPECT(request.pty.has_value() && request.pty->cols == 80 &&
         request.pty->rows == 24);
  EXPECT(request.rlimits.size() == 2 &&
         request.rlimits[0].resource == RLIMIT_NOFILE);
  EXPECT(request.rlimits[1].soft == RLIM_INFINITY);
  const StatusOr<ExecStartRequest> least =
      ParseExecStart(Parsed(R"({"argv":["x"]})"));
  EXPECT(least.ok() && least.value().cwd == "/" && !least.value().has_stdin);
}

TEST(ExecStartSaysWhereTheControlChannelIs) {
  const StatusOr<ExecStartRequest> start = ParseExecStart(Parsed(
      R"({"argv":["x"],"env":["MSB_CONTROL_FD=9","A=1"],"control":true})"));
  EXPECT(start.ok());
  if (!start.ok())
    return;
  const ExecStartRequest &request = start.value();
  EXPECT(request.has_control && !request.has_stdin);
  EXPECT((request.env == std::vector<std::string>{"A=1", "MSB_CONTROL_FD=3"}));
}

TEST(ExecStartNamesTheBadField) {
  const struct {
    const char *text;
    const char *field;
  } cases[] = {
      {R"({})", "argv"},
      {R"({"argv":[]})", "argv"},
      {R"({"argv":["x"],"control":1})", "control"},
      {R"({"argv":[""]})", "argv"},
      {R"({"argv":["a\u0000"]})", "argv"},
      {R"({"argv":["a"],"env":["=x"]})", "env"},
      {R"({"argv":["a"],"cwd":"x"})", "cwd"},
      {R"({"argv":["a"],"pty":{"cols":0,"rows":1}})", "cols"},
      {R"({"argv":["a"],"pty":{"cols":65536,"rows":1}})", "cols"},
      {R"({"argv":["a"],"stdin":1})", "stdin"},
      {R"({"argv":["a"],"timeoutMs":-1})", "timeoutMs"},
      {R"({"argv":["a"],"rlimits":[{"resource":"x","soft":1,"hard":1}]})",
       "rlimits"},
      {R"({"argv":["a"],"rlimits":{}})", "rlimits"},
  };
  for (const auto &bad : cases) {
    const StatusOr<ExecStartRequest> start = ParseExecStart(Parsed(bad.text));
    EXPECT_FOR(bad.text,
               !start.ok() && start.status().operation() == bad.field);
  }
  std::string many = R"({"argv":["a")";
  for (int i = 0; i < 4096; ++i)
    many += ",\"\"";
  EXPECT(!ParseExecStart(Parsed(many + "]}")).ok());
}

TEST(SetupIsChecked) {
  const std::string rest = R"(,"hostname":"box","clockMs":1,"entropy":"AAAA"})";
  const StatusOr<SetupRequest> setup =
      ParseSetup(Parsed(R"({"image":"/dev/vda","upper":null)" + rest));
  EXPECT(setup.ok() && !setup.value().upper.has_value() &&
         setup.value().identity.entropy.size() == 3);
  EXPECT(ParseSetup(Parsed(R"({"image":"/dev/vda","upper":"/dev/vdb")" + rest))
             .ok());
  EXPECT(!ParseSetup(Parsed(R"({"image":"/dev/vda")" + rest)).ok());
  EXPECT(!ParseSetup(Parsed(R"({"image":"vdb","upper":null)" + rest)).ok());
}

TEST(ResumeIsChecked) {
  const std::string rest = R"(,"hostname":"box","clockMs":1,"entropy":"AAAA"})";
  const std::string nonce = "000102030405060708090a0b0c0d0e0f";
  const StatusOr<ResumeRequest> resume =
      ParseResume(Parsed(R"({"nonce":")" + nonce + "\"" + rest));
  EXPECT(resume.ok() && resume.value().nonce.size() == 16 &&
         resume.value().identity.hostname == "box" &&
         resume.value().identity.entropy.size() == 3);
  EXPECT(!ParseResume(Parsed(R"({"nonce":"00")" + rest)).ok());
  EXPECT(!ParseResume(Parsed(R"({"nonce":")" + nonce +
                             R"(","hostname":"a b","clockMs":1,"entropy":""})"))
              .ok());
  EXPECT(!ParseResume(Parsed(R"({"nonce":")" + nonce +
                             R"(","hostname":"a","clockMs":-1,"entropy":""})"))
              .ok());
}

TEST(HelloIsChecked) {
  const std::string digits = "000102030405060708090a0b0c0d0e0F";
  const auto hello = [](const std::string &session, const std::string &nonce) {
    return ParseHello(Parsed(R"({"id":1,"generation":1,"session":")" + session +
                             R"(","nonce":")" + nonce + "\"}"));
  };
  const StatusOr<HelloRequest> good = hello(digits, digits);
  EXPECT(good.ok() && good.value().session.size() == 16 &&
         good.value().session[15] == 15);
  EXPECT(!hello(digits.substr(2), digits).ok());
  EXPECT(!hello(digits, digits + "00").ok());
  EXPECT(!hello(digits, "g" + digits.substr(1)).ok());
}

TEST(RepliesHaveTheFieldsOfTheProtocol) {
  EXPECT(Reply::Ok({{"pid", 5}}).ToJson(7).Serialize() ==
         R"({"id":7,"pid":5,"type":"ok"})");
  EXPECT(
      Reply::System(Status::Error("open", 2, "gone")).ToJson(8).Serialize() ==
      R"({"code":"system","errno":2,"id":8,"message":"gone","operation":"open","type":"error"})");
  EXPECT(Reply::Error("limit", "x").ToStreamError().Serialize() ==
         R"({"code":"limit","message":"x","type":"stream.error"})");
}

} // namespace
} // namespace msb::agent
