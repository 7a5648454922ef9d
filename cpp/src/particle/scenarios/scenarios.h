#pragma once
/// All scenarios that scenarios.def lists.

#include "particle/scenarios/simple_spread.h"
#include "particle/scenarios/simple_tag.h"
#include "particle/scenarios/simple_world.h"
