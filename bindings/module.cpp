#include "bindings.h"

#include <c10/util/Exception.h>

#include <exception>
#include <system_error>

namespace {

// The first sentence of a torch error without its C++ backtrace, as the Python exception of the same meaning.
void translate(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const c10::TypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what_without_backtrace());
  } catch (const c10::ValueError& e) {
    PyErr_SetString(PyExc_ValueError, e.what_without_backtrace());
  } catch (const c10::IndexError& e) {
    PyErr_SetString(PyExc_IndexError, e.what_without_backtrace());
  } catch (const c10::NotImplementedError& e) {
    PyErr_SetString(PyExc_NotImplementedError, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what_without_backtrace());
  } catch (const std::system_error& e) {  // Python picks the subclass, such as FileNotFoundError, from errno
    const auto args = pybind11::make_tuple(e.code().value(), e.what());
    PyErr_SetObject(PyExc_OSError, args.ptr());
  }
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "omar's compiled core: particle worlds, replay storage, stacked networks and the CEM search.";
  pybind11::register_local_exception_translator(&translate);
  omar::bindings::bind_bounds(m);
  omar::bindings::bind_draws(m);
  omar::bindings::bind_particle(m);
  omar::bindings::bind_replay(m);
  omar::bindings::bind_nn(m);
  omar::bindings::bind_cql(m);
  omar::bindings::bind_cem(m);
}
