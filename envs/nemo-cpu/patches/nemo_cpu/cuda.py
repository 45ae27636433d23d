"""`torch.cuda` on a machine without CUDA: the device is the CPU, and its calls do nothing."""

import contextlib
import functools
import os
import sys
import types

from nemo_cpu.import_hooks import after_import

# Functions that make a tensor and take `device=` and `pin_memory=`.
FACTORIES = (
    *("tensor", "as_tensor", "arange", "eye", "linspace", "randint", "randperm"),
    *("zeros", "ones", "empty", "full", "rand", "randn"),
    *("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
)

# Calls that do nothing, and return nothing.
IDLE = (
    *("init", "set_device", "synchronize", "manual_seed_all"),
    *("empty_cache", "ipc_collect", "reset_peak_memory_stats"),
)
TENSOR_TYPES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Byte", "Bool")

# Programs and modules that refuse to work, or fall back to fp16, unless CUDA "is available":
# scripts/checkpoint_converters/*.py and megatron_gpt_eval.py. All others get the true answer.
ASK_FOR_CUDA = ("checkpoint_converters", "megatron_gpt_eval.py")


class _Stream:
    """Stands for torch.cuda.Stream and Event: any method may be called and does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __getattr__(self, name):
        return _returning(None)

    def elapsed_time(self, *args):
        return 0.0

    def query(self):
        return True


def _returning(value):
    """A new function, as torch._dynamo's tables do not take one function under two names."""
    return lambda *args, **kwargs: value


def _decorating_nothing():
    def as_it_is(function=None, *args, **kwargs):
        return function if function is not None else as_it_is

    return as_it_is


@contextlib.contextmanager
def _null_context(*args, **kwargs):
    yield


def _is_available() -> bool:
    caller = sys._getframe(1).f_code.co_filename
    return any(part in caller for part in ASK_FOR_CUDA)


@after_import("torch")
def _patch_cuda_calls(torch):
    """Megatron and NeMo call these everywhere, with no check for the device that they run on."""
    cpu = torch.device("cpu")
    cuda = torch.cuda
    cuda.current_device = lambda: cpu  # used as `device=`
    cuda.device_count = lambda: 1  # so that Megatron seeds the tracker of its random states
    cuda.is_initialized = lambda: True
    cuda.is_available = _is_available
    cuda.is_bf16_supported = _returning(True)
    for name in IDLE:
        setattr(cuda, name, _returning(None))
    for kind in ("allocated", "reserved"):
        setattr(cuda, f"memory_{kind}", _returning(0))
        setattr(cuda, f"max_memory_{kind}", _returning(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cuda.mem_get_info = _returning((memory, memory))
    cuda.manual_seed = lambda seed: torch.default_generator.manual_seed(int(seed))
    cuda.get_rng_state = lambda *args, **kwargs: torch.get_rng_state()
    cuda.set_rng_state = lambda state, *args, **kwargs: torch.set_rng_state(state)
    cuda.Stream = cuda.Event = _Stream
    cuda.current_stream = cuda.default_stream = lambda *args, **kwargs: _Stream()
    cuda.stream = cuda.device = _null_context
    cuda.nvtx = types.SimpleNamespace(
        range_push=_returning(None), range_pop=_returning(None), range=_null_context
    )
    for kind in TENSOR_TYPES:
        setattr(cuda, f"{kind}Tensor", getattr(torch, f"{kind}Tensor"))


@after_import("torch")
def _patch_devices(torch):
    """`device="cuda"`, `.cuda()`, `.to("cuda:0")` and pinned memory all mean the CPU."""
    cpu = torch.device("cpu")

    def on_cpu(device):
        if isinstance(device, torch.device):
            return cpu if device.type == "cuda" else device
        if isinstance(device, str):
            return cpu if device.startswith("cuda") else device
        if isinstance(device, int) and not isinstance(device, bool):
            return cpu
        return device

    def factory(function):
        @functools.wraps(function)
        def make(*args, **kwargs):
            if kwargs.get("device") is not None:
                kwargs["device"] = on_cpu(kwargs["device"])
            kwargs.pop("pin_memory", None)
            return function(*args, **kwargs)

        return make

    def mover(method):
        @functools.wraps(method)
        def to(self, *args, **kwargs):
            if args and isinstance(args[0], (torch.device, str)):
                args = (on_cpu(args[0]), *args[1:])
            if kwargs.get("device") is not None:
                kwargs["device"] = on_cpu(kwargs["device"])
            return method(self, *args, **kwargs)

        return to

    for name in FACTORIES:
        setattr(torch, name, factory(getattr(torch, name)))
    for holder in (torch.Tensor, torch.nn.Module):
        holder.to = mover(holder.to)
        holder.cuda = lambda self, *args, **kwargs: self
    torch.Tensor.pin_memory = lambda self, *args, **kwargs: self

    enter_autocast = torch.autocast.__init__

    def autocast(self, device_type, *args, **kwargs):
        enter_autocast(self, "cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    torch.autocast.__init__ = autocast

    def decorator(make):
        @functools.wraps(make)
        def for_cpu(function=None, *, device_type, **options):
            device_type = "cpu" if device_type == "cuda" else device_type
            return make(function, device_type=device_type, **options)

        return for_cpu

    # Megatron's layers ask for the type of autocast of "cuda", which here is the CPU's.
    for name in ("custom_fwd", "custom_bwd"):
        setattr(torch.amp, name, decorator(getattr(torch.amp, name)))


@after_import("torch")
def _patch_compilers(torch):
    """Megatron compiles small functions (`jit_fuser`): on a CPU that takes long and gains nothing,
    and torch.jit.script cannot read the wrapped factories above."""
    torch.compile = _decorating_nothing()
    torch.jit.script = _decorating_nothing()


@after_import("nemo.core.classes.modelPT")
def _patch_model(module):
    """Lightning's `cuda()` asks the driver for a device; this class does not inherit the patch."""
    module.ModelPT.cuda = lambda self, *args, **kwargs: self
