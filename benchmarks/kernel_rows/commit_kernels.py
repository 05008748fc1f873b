"""What a commit does to the parameters of cnn-cifar, against copying them once: a ratio of 0.5 is twice a memcpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from adsp_kernels import commit
from kernel_rows.row import Peer, Row

SIZE = 1_068_298
AT_LEAST, AIM = round(1 / 2.2, 2), round(1 / 1.6, 2)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(1)
    w, w_next, u, g, v, v_next = (rng.normal(size=SIZE).astype(np.float32) for _ in range(6))
    bits, eta, mu = commit.bit_view(u), np.float32(1e-3), np.float32(0.9)
    kernels = {
        "the next version w + eta U": lambda: commit.publish(w, u, bits, eta, w_next),
        "the same with momentum": lambda: commit.publish_momentum(w, v, u, bits, eta, mu, v_next, w_next),
        "a local step": lambda: commit.local_step(w, u, g, eta),
        "the first step after a commit": lambda: commit.first_step(w, u, g, eta),
    }
    for name, kernel in kernels.items():
        promised = (AT_LEAST, AIM) if name.startswith("the next") else ()
        memcpy = Peer(f"numpy {np.__version__}, copyto", lambda: np.copyto(w_next, w), *promised)
        yield Row(f"{name}, {SIZE:,} parameters", kernel, [memcpy])
