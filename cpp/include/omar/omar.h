#pragma once
/// All of omar: offline multi-agent reinforcement learning with actor rectification.

#include <omar/cem/cem.h>
#include <omar/core/cpu_level.h>
#include <omar/core/draws.h>
#include <omar/core/rng.h>
#include <omar/cql/penalty.h>
#include <omar/nn/batch_norm.h>
#include <omar/nn/policy.h>
#include <omar/nn/stacked_mlp.h>
#include <omar/particle/particle_env.h>
#include <omar/particle/rollout.h>
#include <omar/replay/replay_buffer.h>
#include <omar/version.h>
