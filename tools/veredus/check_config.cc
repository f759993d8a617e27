#include <cstdio>

#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/control/settings.h"
#include "engine/intake/json_writer.h"
#include "tools/veredus/commands.h"

namespace veredus::tools {

namespace {

// What must not be overlooked stands in front.
void print_warning(const control::Config& config) {
  const std::string warning = control::redirect_warning(config);
  if (warning.empty()) return;
  const std::string line(100, '#');
  std::printf("%s\n# %s\n%s\n\n", line.c_str(), warning.c_str(), line.c_str());
}

}  // namespace

int run_check_config(const Common& common, const CheckConfigOptions& options) {
  if (options.providers) {
    std::fputs(std::string(control::shipped_providers()).c_str(), stdout);
    return EX_OK;
  }
  const std::string& file = options.file;
  const std::string path = file.empty() ? common.config_file : file;
  absl::StatusOr<control::Config> config = control::load_config(path);
  absl::Status status = config.status();
  if (status.ok()) status = control::engine_settings(*config).status();
  if (common.json) {
    std::string out;
    intake::JsonWriter json(out);
    json.begin_object().field("file", path).field("ok", status.ok());
    if (!status.ok()) {
      json.field("error", std::string(status.message()));
    } else {
      json.field_if("warning", control::redirect_warning(*config));
    }
    json.end_object().newline();
    std::fputs(out.c_str(), stdout);
  } else if (status.ok()) {
    print_warning(*config);
    std::printf("# %s is right. Every setting, with the value that holds:\n\n%s", path.c_str(),
                control::describe_config(*config).c_str());
  }
  if (status.ok()) return EX_OK;
  complain(std::string(status.message()));
  return absl::IsNotFound(status) ? EX_NOINPUT : EX_CONFIG;
}

}  // namespace veredus::tools
