#include "engine/control/event_filter.h"

#include <algorithm>

namespace veredus::control {

bool EventFilter::takes_type(std::string_view type) const {
  return types.empty() || std::find(types.begin(), types.end(), type) != types.end();
}

bool EventFilter::takes(const queue::Batch* of, std::string_view type) const {
  if (!takes_type(type)) return false;
  if (!tenant.empty() && (of == nullptr || of->tenant != tenant)) return false;
  if (!batch.empty() && (of == nullptr || of->name != batch)) return false;
  return campaign.empty() || (of != nullptr && of->campaign == campaign);
}

bool EventFilter::takes(const queue::Order& order) const {
  const auto other = [](const std::string& asked, const std::string& said) {
    return !asked.empty() && !said.empty() && asked != said;
  };
  return takes_type("order") && !other(tenant, order.filter.tenant) &&
         !other(batch, order.filter.batch) && !other(campaign, order.filter.campaign);
}

}  // namespace veredus::control
