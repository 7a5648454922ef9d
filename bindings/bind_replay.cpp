#include <omar/replay/replay_buffer.h>

#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <pybind11/numpy.h>

#include <memory>
#include <utility>
#include <variant>

#include "bindings.h"

namespace omar::bindings {
namespace {

using replay::ReplayBuffer;

/// Keeps an array alive for a tensor, whichever thread drops the tensor last.
std::shared_ptr<py::object> hold(py::object object) {
  return {new py::object(std::move(object)), [](py::object* held) {
            if (Py_IsInitialized() == 0) {  // the interpreter took its objects with it
              held->release();
              delete held;
              return;
            }
            const py::gil_scoped_acquire gil;
            delete held;
          }};
}

/// numpy's memory as a tensor that keeps the array alive; read-only arrays and memory maps included.
at::Tensor tensor_of(const std::string& name, const std::variant<at::Tensor, py::array>& column) {
  if (const auto* tensor = std::get_if<at::Tensor>(&column)) return *tensor;
  const auto& array = std::get<py::array>(column);
  TORCH_CHECK_TYPE(py::isinstance<py::array_t<float>>(array), "[replay] `", name,
                   "` must be float32 in this machine's byte order, got ", std::string(py::str(array.dtype())));
  std::vector<int64_t> sizes(array.shape(), array.shape() + array.ndim());
  std::vector<int64_t> strides;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    TORCH_CHECK_VALUE(array.strides(i) >= 0 && array.strides(i) % static_cast<py::ssize_t>(sizeof(float)) == 0,
                      "[replay] `", name, "` has strides that tensors cannot have; pass a copy");
    strides.push_back(array.strides(i) / static_cast<py::ssize_t>(sizeof(float)));
  }
  return at::from_blob(
      const_cast<void*>(array.data()), sizes, strides, [owner = hold(array)](void*) {}, at::TensorOptions(at::kFloat));
}

using NamedColumns = std::vector<std::pair<std::string, std::variant<at::Tensor, py::array>>>;

replay::Columns columns_of(const NamedColumns& named) {
  replay::Columns columns;
  for (const auto& [name, column] : named) columns.emplace_back(name, tensor_of(name, column));
  return columns;
}

void extend(ReplayBuffer& buffer, const NamedColumns& named, int64_t dataset) {
  const replay::Columns columns = columns_of(named);
  const py::gil_scoped_release release;
  buffer.extend(columns, dataset);
}

ReplayBuffer view(const std::vector<NamedColumns>& datasets) {
  std::vector<replay::Columns> columns;
  for (const NamedColumns& named : datasets) columns.push_back(columns_of(named));
  return ReplayBuffer::view(columns);
}

replay::SampleOptions options(int64_t batch_size, int64_t members, std::uint64_t seed, int64_t step,
                              std::optional<int64_t> agents) {
  return {batch_size, members, seed, step, agents};
}

}  // namespace

void bind_replay(py::module_& m) {
  using Fields = std::vector<std::pair<std::string, std::vector<int64_t>>>;
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<ReplayBuffer>(m, "ReplayBuffer", "Packed ring buffer of float32 rows; see omar.ReplayBuffer.")
      .def(py::init(
               [](int64_t capacity, const Fields& named, at::Device device, int64_t datasets, at::ScalarType storage) {
                 std::vector<replay::Field> fields;
                 for (const auto& [name, shape] : named) fields.push_back({name, shape});
                 return ReplayBuffer(capacity, std::move(fields), device, datasets, storage);
               }),
           py::arg("capacity"), py::arg("fields"), py::arg("device"), py::arg("datasets"), py::arg("storage"),
           "Empty storage of `datasets` rings of `capacity` rows.")
      .def_property_readonly("capacity", &ReplayBuffer::capacity, "Rows that each dataset can hold.")
      .def_property_readonly("datasets", &ReplayBuffer::datasets, "Number of datasets S.")
      .def_property_readonly("device", &ReplayBuffer::device, "Device of the rows.")
      .def_property_readonly("storage", &ReplayBuffer::storage, "Dtype of the stored numbers.")
      .def_property_readonly("is_view", &ReplayBuffer::is_view, "Whether the rows are columns of the caller.")
      .def_property_readonly("row_bytes", &ReplayBuffer::row_bytes, "Bytes of a stored row.")
      .def_property_readonly(
          "fields",
          [](const ReplayBuffer& buffer) {
            Fields fields;
            for (const auto& field : buffer.fields()) fields.emplace_back(field.name, field.shape);
            return fields;
          },
          "Names and shapes of the fields, in order.")
      .def_static("view", &view, py::arg("datasets"), "Samples from columns of the caller, which it keeps.")
      .def("size", &ReplayBuffer::size, py::arg("dataset") = 0, Release(), "Valid rows of a dataset.")
      .def("extend", &extend, py::arg("columns"), py::arg("dataset") = 0, "Appends rows from [n, ...] columns.")
      .def(
          "sample",
          [](const ReplayBuffer& buffer, int64_t batch_size, int64_t members, std::uint64_t seed, int64_t step,
             std::optional<int64_t> agents) { return buffer.sample(options(batch_size, members, seed, step, agents)); },
          py::arg("batch_size"), py::arg("members"), py::arg("seed"), py::arg("step"), py::arg("agents") = py::none(),
          Release(), "Minibatches [M, B, ...] of every field.")
      .def(
          "sample_indices",
          [](const ReplayBuffer& buffer, int64_t batch_size, int64_t members, std::uint64_t seed, int64_t step) {
            return buffer.sample_indices(options(batch_size, members, seed, step, std::nullopt));
          },
          py::arg("batch_size"), py::arg("members"), py::arg("seed"), py::arg("step"), Release(),
          "Rows [M, B] that sample takes.")
      .def("columns", &ReplayBuffer::columns, py::arg("dataset") = 0, Release(), "A copy of all rows, oldest first.")
      .def("save", &ReplayBuffer::save, py::arg("path"), Release(), "Writes one file, atomically.")
      .def_static("load", &ReplayBuffer::load, py::arg("path"), py::arg("device"), Release(),
                  "Reads a file that save wrote.");
}

}  // namespace omar::bindings
