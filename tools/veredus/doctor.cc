#include "tools/veredus/doctor.h"

#include <cstdio>

#include <sysexits.h>
#include <unistd.h>

#include "engine/intake/json_writer.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {
namespace {

const char* name_of(Finding::State state) {
  switch (state) {
    case Finding::State::ok:
      return "ok";
    case Finding::State::warn:
      return "warn";
    case Finding::State::fail:
      break;
  }
  return "fail";
}

void print_json(const Findings& findings, bool failed) {
  std::string out;
  intake::JsonWriter json(out);
  json.begin_object().field("ok", !failed).key("checks").begin_array();
  for (const Finding& finding : findings) {
    json.begin_object().field("check", finding.check).field("state", name_of(finding.state));
    json.field("found", finding.found).field_if("remedy", finding.remedy).end_object();
  }
  json.end_array().end_object().newline();
  std::fputs(out.c_str(), stdout);
}

}  // namespace

int run_doctor(const Common& common) {
  Findings findings;
  control::Config config = control::default_config();
  if (common.config_given || access(common.config_file.c_str(), F_OK) == 0) {
    absl::StatusOr<control::Config> loaded = control::load_config(common.config_file);
    if (loaded.ok()) {
      config = *std::move(loaded);
      findings.push_back({"configuration", Finding::State::ok, common.config_file, ""});
    } else {
      findings.push_back({"configuration", Finding::State::fail,
                          std::string(loaded.status().message()),
                          "correct it; `veredus check-config` explains every setting"});
    }
  } else {
    findings.push_back({"configuration", Finding::State::warn,
                        "no " + common.config_file + ": defaults hold",
                        "write one; `veredus check-config` shows what there is to set"});
  }
  check_io_uring(findings);
  check_descriptors(config, findings);
  check_spool(config, findings);
  check_feed_socket(config, findings);
  check_clock(findings);
  check_ports(findings);
  check_backlog(findings);
  check_dns(config, findings);
  check_authorities(config, findings);
  check_names(config, findings);

  bool failed = false;
  for (const Finding& finding : findings) failed = failed || finding.state == Finding::State::fail;
  if (common.json) {
    print_json(findings, failed);
  } else {
    for (const Finding& finding : findings) {
      std::printf("%-5s %-16s %s\n", name_of(finding.state), finding.check.c_str(),
                  finding.found.c_str());
      if (!finding.remedy.empty())
        std::printf("%-5s %-16s -> %s\n", "", "", finding.remedy.c_str());
    }
  }
  return failed ? EX_CONFIG : EX_OK;
}

}  // namespace veredus::tools
