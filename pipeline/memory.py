"""Running out of memory, told apart from other errors, whoever says it: CUDA, torch on the CPU, or Python.

Example::

    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
"""

import torch

_CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch has a type of its own for accelerators only


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory on the device or the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _CPU_ALLOCATOR in str(error)
