#pragma once
/// Errors of the core as Python exceptions of the same meaning.

#include <c10/util/Exception.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <system_error>

namespace omar::bindings {

/// For register_local_exception_translator: the first sentence of a torch error, without its C++ backtrace.
inline void translate(std::exception_ptr error) {
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

}  // namespace omar::bindings
