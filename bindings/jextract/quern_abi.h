/* jextract input for io.quern.bindings.quern.QuernAbi: every header of Quern's C ABI. */
#include "quern/cache.h"
#include "quern/gather.h"
#include "quern/quern.h"
#include "quern/recycling.h"
#include "quern/rejection.h"
#include "quern/rows.h"
#include "quern/tree.h"
#include "quern/verify.h"
