"""A model that goes wrong on rank 2 after some steps, in the way that the variable FAULT names."""

import os
import signal
import time
from enum import Enum

from mpi4py import MPI

from adsp_mpi.models.linear import Softmax

N_GOOD_STEPS = 10


class Fault(Enum):
    """What can happen to a rank."""

    HANG = "hang"
    RAISE = "raise"
    DIE = "die"

    def happen(self):
        if self is Fault.HANG:
            time.sleep(600)
        elif self is Fault.RAISE:
            raise RuntimeError("boom")
        else:
            os.kill(os.getpid(), signal.SIGKILL)


class Faulty(Softmax):
    """Softmax until the fault."""

    name = "faulty"
    n_steps = 0

    def loss_and_grad(self, w, x, y, grad):
        self.n_steps += 1
        if MPI.COMM_WORLD.rank == 2 and self.n_steps > N_GOOD_STEPS:
            Fault(os.environ["FAULT"]).happen()
        return super().loss_and_grad(w, x, y, grad)
