#include "engine/io/planted.h"

namespace veredus::io {

#ifdef VEREDUS_PLANTED
Planted planted = Planted::none;
#endif

}  // namespace veredus::io
