#include "engine/control/api_reload.h"

#include "engine/control/reload.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {

void ReloadHandler::on_end() {
  if (api_.stopping_) {
    return call_.answer(error_answer({503, "stopping", "the engine is being stopped",
                                      "it reads the file when it starts again"}));
  }
  const absl::StatusOr<ReloadPlan> plan = api_.reload_.run();
  if (!plan.ok()) {
    return call_.answer(error_answer({400, "bad_config", std::string(plan.status().message()),
                                      "all stays as it was: correct the file and ask again"}));
  }
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object().key("applied").begin_array();
  for (const std::string& name : plan->applied) json.value(name);
  json.end_array().key("needs_restart").begin_array();
  for (const std::string& name : plan->needs_restart) json.value(name);
  json.end_array();
  json.field_if("warning", redirect_warning(plan->config));
  json.end_object().newline();
  call_.answer(std::move(out));
}

}  // namespace veredus::control
