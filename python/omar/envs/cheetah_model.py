"""The HalfCheetah as a MuJoCo model: the planar cheetah of Wawrzynski (2009) with Gymnasium's measures.

The facts are those of Gymnasium's `half_cheetah.xml` (HalfCheetah-v5): limbs, joints, gears and contacts. A
test compares the compiled models number by number.
"""

from __future__ import annotations

from dataclasses import dataclass

RADIUS = 0.046  # of every capsule, in metres
TORSO, HEAD = 0.5, 0.15  # half lengths of the straight parts of these capsules, in metres
TOTAL_MASS = 14.0  # kilograms, spread over the capsules by volume
TIMESTEP = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Limb:
    """A part of a leg: a capsule that turns around the y axis at a joint with a motor.

    Attributes:
        name: Of the body, its joint, its capsule and its motor.
        joint: x and z of the joint in the parent's frame.
        center: x and z of the capsule's centre from the joint.
        angle: By which the capsule is turned, in radians.
        half_length: Of the capsule's straight part.
        limits: Of the joint's angle, in radians.
        stiffness: Of the joint's spring.
        damping: Of the joint.
        gear: Torque at an action of 1, in N m.
    """

    name: str
    joint: tuple[float, float]
    center: tuple[float, float]
    angle: float
    half_length: float
    limits: tuple[float, float]
    stiffness: float
    damping: float
    gear: float


BACK_LEG = (
    Limb("bthigh", (-0.5, 0.0), (0.1, -0.13), -3.8, 0.145, (-0.52, 1.05), 240.0, 6.0, 120.0),
    Limb("bshin", (0.16, -0.25), (-0.14, -0.07), -2.03, 0.15, (-0.785, 0.785), 180.0, 4.5, 90.0),
    Limb("bfoot", (-0.28, -0.14), (0.03, -0.097), -0.27, 0.094, (-0.4, 0.785), 120.0, 3.0, 60.0),
)
FRONT_LEG = (
    Limb("fthigh", (0.5, 0.0), (-0.07, -0.12), 0.52, 0.133, (-1.0, 0.7), 180.0, 4.5, 120.0),
    Limb("fshin", (-0.14, -0.24), (0.065, -0.09), -0.6, 0.106, (-1.2, 0.87), 120.0, 3.0, 60.0),
    Limb("ffoot", (0.13, -0.18), (0.045, -0.07), -0.6, 0.07, (-0.5, 0.5), 60.0, 1.5, 30.0),
)
LEGS = (BACK_LEG, FRONT_LEG)  # agent 0, agent 1

_CONTACT = 'condim="3" friction="0.4 0.1 0.1" solref="0.02 1" solimp="0 0.8 0.01"'
_COLORS = ("0.12 0.37 0.66 1", "0.84 0.37 0.00 1")  # of the two legs


def mass(half_length: float) -> float:
    """Kilograms of a capsule, its share of the total."""
    lengths = [TORSO, HEAD, *(limb.half_length for leg in LEGS for limb in leg)]

    def volume(half_length: float) -> float:  # in units of 2 pi RADIUS^2 metres
        return half_length + 2 * RADIUS / 3

    return TOTAL_MASS * volume(half_length) / sum(map(volume, lengths))


def model_xml() -> str:
    """The model as MJCF."""
    legs = "".join(_leg(leg, color) for leg, color in zip(LEGS, _COLORS, strict=True))
    motors = "".join(
        f'<motor name="{limb.name}" joint="{limb.name}" gear="{limb.gear}" ctrlrange="-1 1"/>'
        for leg in LEGS
        for limb in leg
    )
    root = "".join(
        f'<joint name="{name}" type="{kind}" axis="{axis}"/>'
        for name, kind, axis in (
            ("rootx", "slide", "1 0 0"),
            ("rootz", "slide", "0 0 1"),
            ("rooty", "hinge", "0 1 0"),
        )
    )
    return f"""
<mujoco model="half_cheetah">
  <compiler angle="radian"/>
  <option timestep="{TIMESTEP}" gravity="0 0 -9.81"/>
  <visual><global offwidth="960" offheight="720"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" width="64" height="64"
             rgb1="0.93 0.95 0.98" rgb2="0.75 0.82 0.9"/>
    <texture name="tiles" type="2d" builtin="checker" width="64" height="64"
             rgb1="0.86 0.87 0.9" rgb2="0.78 0.8 0.84"/>
    <material name="ground" texture="tiles" texrepeat="60 60"/>
  </asset>
  <worldbody>
    <light directional="true" dir="0.3 0.4 -1" diffuse="0.7 0.7 0.7"/>
    <geom name="floor" type="plane" size="40 40 40" material="ground" contype="1" conaffinity="1" {_CONTACT}/>
    <body name="torso" pos="0 0 0.7">
      <camera name="track" mode="trackcom" pos="0 -3 0.3" xyaxes="1 0 0 0 0 1"/>
      {root}
      <geom name="torso" type="capsule" fromto="-{TORSO} 0 0 {TORSO} 0 0" size="{RADIUS}" mass="{mass(TORSO)}"
            rgba="0.35 0.36 0.4 1" contype="1" conaffinity="0" {_CONTACT}/>
      <geom name="head" type="capsule" pos="0.6 0 0.1" axisangle="0 1 0 0.87" size="{RADIUS} {HEAD}"
            mass="{mass(HEAD)}" rgba="0.35 0.36 0.4 1" contype="1" conaffinity="0" {_CONTACT}/>
      {legs}
    </body>
  </worldbody>
  <actuator>{motors}</actuator>
</mujoco>"""


def _leg(limbs: tuple[Limb, ...], color: str) -> str:
    """Bodies of a leg, each inside of the one before."""
    xml = ""
    for limb in reversed(limbs):
        xml = f"""
      <body name="{limb.name}" pos="{limb.joint[0]} 0 {limb.joint[1]}">
        <joint name="{limb.name}" type="hinge" axis="0 1 0" range="{limb.limits[0]} {limb.limits[1]}"
               stiffness="{limb.stiffness}" damping="{limb.damping}" armature="0.1"
               solreflimit="0.02 1" solimplimit="0 0.8 0.03"/>
        <geom name="{limb.name}" type="capsule" pos="{limb.center[0]} 0 {limb.center[1]}"
              axisangle="0 1 0 {limb.angle}" size="{RADIUS} {limb.half_length}"
              mass="{mass(limb.half_length)}" rgba="{color}" contype="1" conaffinity="0" {_CONTACT}/>{xml}
      </body>"""
    return xml
