"""What holds for every test, doctest and page of documentation."""

import pytest
import torch

from skdgam.training import devices

# What tests train is too small to gain from threads, and they would fight over busy cores.
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def no_bfloat16_on_cpus():
    """Training is in float32 unless a test says otherwise, whatever units the CPU has."""
    of_machine = devices.has_bfloat16

    def answer(device: torch.device) -> bool:
        return device.type != "cpu" and of_machine(device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "has_bfloat16", answer)
        yield
