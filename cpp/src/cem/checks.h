#pragma once
/// Argument checks that the ops of the search share.

#include <omar/cem/cem.h>

#include <string_view>

namespace omar::cem {

/// mu and sigma agree, [M, B, A] with M, B, A >= 1. \throws c10::ValueError, c10::TypeError
void check_distribution(std::string_view op, const Distribution& distribution);

/// actions and q agree, [M, B, K, A] with M, B, K, A >= 1. \throws c10::ValueError, c10::TypeError
void check_pool(std::string_view op, const Pool& pool);

/// `count` of the pool's K candidates: 1..K. \throws c10::ValueError
void check_count(std::string_view op, std::string_view name, int64_t count, const Pool& pool);

}  // namespace omar::cem
