/// import omar, pursuit; omar.envs.ParticleEnv("pursuit"): the import makes the scenario known.

#include <Python.h>

#include <exception>

#include "pursuit.h"

PyMODINIT_FUNC PyInit_pursuit() {
  static PyModuleDef definition = {};
  definition.m_base = PyModuleDef_HEAD_INIT;
  definition.m_name = "pursuit";
  definition.m_size = -1;
  try {
    omar::particle::register_scenario<Pursuit>("pursuit");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ImportError, error.what());
    return nullptr;
  }
  return PyModule_Create(&definition);
}
