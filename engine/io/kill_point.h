#pragma once

#include "queue/kill_point.h"

namespace veredus::io {

// The engine's share of queue/kill_point.h: one count of each name, one variable for both.
using queue::kill_point;

}  // namespace veredus::io
