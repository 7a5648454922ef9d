#include <omar/particle/particle_env.h>
#include <omar/particle/rollout.h>

#include "bindings.h"

namespace omar::bindings {
namespace {

void bind_rollout(py::module_& m) {
  using particle::RolloutOptions;
  using particle::Transitions;
  using Release = py::call_guard<py::gil_scoped_release>;

  py::class_<RolloutOptions>(m, "RolloutOptions", "Who acts in a rollout, and how.")
      .def(py::init<>(), "25 steps of uniform actions.")
      .def_readwrite("steps", &RolloutOptions::steps, "T.")
      .def_readwrite("policy", &RolloutOptions::policy, "One member per learner, or none: uniform actions.")
      .def_readwrite("prey", &RolloutOptions::prey, "One member per agent after the learners, or none.")
      .def_readwrite("noise", &RolloutOptions::noise, "Sigma of the learners' exploration noise.")
      .def_readwrite("seed", &RolloutOptions::seed, "Key of the noise and of uniform actions.")
      .def_readwrite("first_step", &RolloutOptions::first_step, "Counter of the first step.");

  py::class_<Transitions>(m, "Transitions", "What happened in a rollout; a column that is None is not written.")
      .def(py::init<>(), "No columns.")
      .def_readwrite("observations", &Transitions::observations, "[E, T, A, max obs size].")
      .def_readwrite("actions", &Transitions::actions, "[E, T, A, 2].")
      .def_readwrite("rewards", &Transitions::rewards, "[E, T, A].")
      .def_readwrite("next_observations", &Transitions::next_observations, "Before auto-reset.");

  m.def("make_transitions", &particle::make_transitions, py::arg("env"), py::arg("steps"), "Columns for rollout_into.");
  m.def("rollout_into", &particle::rollout_into, py::arg("env"), py::arg("options"), py::arg("out"),
        py::arg("prey_out") = std::nullopt, Release(),
        "Steps all worlds with policies, writing into the columns of out, the prey's into prey_out if it is given.");
}

}  // namespace

void bind_particle(py::module_& m) {
  using particle::Bodies;
  using particle::ParticleEnv;
  using particle::ParticleEnvOptions;
  using particle::Reward;
  using particle::State;
  using particle::Step;
  using Release = py::call_guard<py::gil_scoped_release>;

  m.def("scenario_names", &particle::scenario_names, "Names of all particle scenarios.");

  py::enum_<Reward>(m, "Reward", "Reward variants of the particle scenarios.")
      .value("omar", Reward::omar)
      .value("lowe", Reward::lowe);

  py::class_<Step>(m, "Step", "What one step of all worlds gives.")
      .def_readwrite("observations", &Step::observations, "[E, A, max obs size], after auto-reset.")
      .def_readwrite("rewards", &Step::rewards, "[E, A].")
      .def_readwrite("truncated", &Step::truncated, "[E], bool: a new episode began.")
      .def_readwrite("final_observations", &Step::final_observations, "Before auto-reset, valid where truncated.");

  py::class_<ParticleEnvOptions>(m, "ParticleEnvOptions", "Which worlds to build.")
      .def(py::init<>(), "One simple_spread world on the CPU in float32.")
      .def_readwrite("scenario", &ParticleEnvOptions::scenario, "A name of scenario_names().")
      .def_readwrite("num_envs", &ParticleEnvOptions::num_envs, "E, at least 1.")
      .def_readwrite("seed", &ParticleEnvOptions::seed, "Key of the start states.")
      .def_readwrite("device", &ParticleEnvOptions::device, "cpu or cuda.")
      .def_readwrite("dtype", &ParticleEnvOptions::dtype, "float32 or float64.")
      .def_readwrite("reward", &ParticleEnvOptions::reward, "Reward variant.")
      .def_readwrite("num_agents", &ParticleEnvOptions::num_agents, "Agents and targets of simple_spread, 1..10.");

  py::class_<Bodies>(m, "Bodies", "The discs of a world, as one draws them.")
      .def_readonly("agents", &Bodies::agents, "Radii [A].")
      .def_readonly("landmarks", &Bodies::landmarks, "Radii [L]; 0: a point.")
      .def_readonly("obstacles", &Bodies::obstacles, "Landmarks that agents collide with; they come first.");

  py::class_<ParticleEnv>(m, "ParticleEnv", "E worlds of one scenario, stepped together.")
      .def(py::init<const ParticleEnvOptions&>(), py::arg("options"), Release(), "Builds and starts the worlds.")
      .def_property_readonly("options", &ParticleEnv::options, "What the worlds were built from.")
      .def_property_readonly("num_envs", &ParticleEnv::num_envs, "E.")
      .def_property_readonly("num_agents", &ParticleEnv::num_agents, "A, the prey included.")
      .def_property_readonly("num_learners", &ParticleEnv::num_learners, "Agents that learn; they come first.")
      .def_property_readonly("num_landmarks", &ParticleEnv::num_landmarks, "L.")
      .def_property_readonly("episode_length", &ParticleEnv::episode_length, "Steps until an episode is cut.")
      .def_property_readonly("action_size", &ParticleEnv::action_size, "Numbers in an agent's action.")
      .def_property_readonly("obs_sizes", &ParticleEnv::obs_sizes, "Observation size per agent.")
      .def_property_readonly("bodies", &ParticleEnv::bodies, "The discs of a world.")
      .def("reset", &ParticleEnv::reset, py::arg("seed") = py::none(), Release(),
           "Starts new episodes in all worlds; returns observations.")
      .def("step", &ParticleEnv::step, py::arg("actions"), Release(), "One step of all worlds; actions [E, A, 2].")
      .def("step_into", &ParticleEnv::step_into, py::arg("actions"), py::arg("out"), Release(),
           "The same into tensors of the caller.")
      .def("make_step", &ParticleEnv::make_step, "Tensors for step_into.")
      .def("observe", &ParticleEnv::observe, Release(), "Observations of the current state.")
      .def(
          "state",
          [](const ParticleEnv& env) {
            State s = env.state();
            return std::make_tuple(s.positions, s.velocities, s.landmarks, s.steps);
          },
          Release(), "(positions, velocities, landmarks, steps).")
      .def("set_state", &ParticleEnv::set_state, py::arg("positions"), py::arg("velocities"), py::arg("landmarks"),
           py::arg("steps") = py::none(), Release(), "Replaces the state.");

  bind_rollout(m);
}

}  // namespace omar::bindings
