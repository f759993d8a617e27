#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "queue/batch.h"
#include "queue/order.h"

namespace veredus::control {

// Which events are wanted. They are numbered all the same: `seq` then has holes where others were
// left out.
struct EventFilter {
  std::vector<std::string> types;       // empty: all
  std::string tenant, batch, campaign;  // empty: all

  // Of recipients of a batch; null: it is not known any more.
  bool takes(const queue::Batch* of, std::string_view type) const;
  // An order of other mail is left out; one that may hold for this, too, is not.
  bool takes(const queue::Order& order) const;

 private:
  bool takes_type(std::string_view type) const;
};

}  // namespace veredus::control
