"""The devices that are emulated: how long a step takes on each, and its links. No MPI, no real clock."""

from adsp_mpi.devices.device import Device, SlowSpells
from adsp_mpi.devices.link import SharedLink
from adsp_mpi.devices.options import DeviceOptions, WorkerDevice
from adsp_mpi.devices.profiles import build, heterogeneity_degree, profile_size
from adsp_mpi.devices.throttle import Throttle

__all__ = [
    "Device",
    "DeviceOptions",
    "SharedLink",
    "SlowSpells",
    "Throttle",
    "WorkerDevice",
    "build",
    "heterogeneity_degree",
    "profile_size",
]
