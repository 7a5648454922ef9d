#include <omar/omar.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>

#include <iostream>

int main() {
  omar::replay::ReplayBuffer buffer(8, {{"x", {2}}});
  const at::Tensor x = at::arange(16, at::kFloat).reshape({8, 2});
  buffer.extend({{"x", x}});
  const omar::replay::SampleOptions options{.batch_size = 8};
  const at::Tensor rows = buffer.sample_indices(options);
  if (!at::equal(buffer.sample(options)[0].second[0], x.index_select(0, rows[0]))) return 1;
  try {
    buffer.size(1);
    return 2;
  } catch (const c10::ValueError&) {  // errors cross the library's boundary
  }
  std::cout << "level " << omar::to_string(omar::cpu_level()) << '\n';
  return 0;
}
