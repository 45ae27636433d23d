"""torch.distributed on the gloo backend."""

import importlib
import os
import socket
from urllib.parse import parse_qsl, urlsplit

from nemo_cpu.import_hooks import after_import


@after_import("torch")
def _patch_all_gather(torch):
    """NeMo-Aligner gathers the number of rollouts, a 0-d tensor: NCCL takes it, gloo refuses it."""
    distributed = torch.distributed
    all_gather_into_tensor = distributed.all_gather_into_tensor

    def gather(output, tensor, *args, **kwargs):
        tensor = tensor.reshape(1) if tensor.dim() == 0 else tensor
        return all_gather_into_tensor(output, tensor, *args, **kwargs)

    distributed.all_gather_into_tensor = gather


@after_import("torch")
def _patch_rendezvous(torch):
    """A world of one process needs no meeting point: no MASTER_PORT that may be taken. Several that
    meet at a loopback address do not need a port that is open to the network."""
    # Not `from torch.distributed import`: that name is a function there.
    rendezvous = importlib.import_module("torch.distributed.rendezvous")
    over_tcp = rendezvous._rendezvous_handlers["env"]

    def meet(url, *args, **kwargs):
        asked = dict(parse_qsl(urlsplit(url).query))
        if asked.get("world_size", os.environ.get("WORLD_SIZE", "1")) == "1":
            yield torch.distributed.HashStore(), 0, 1
        else:
            yield from over_tcp(url, *args, **kwargs)

    def store(hostname, port, rank, world_size, timeout, use_libuv=True):
        options = {"is_master": rank == 0, "timeout": timeout, "use_libuv": use_libuv}
        if rank == 0 and (hostname == "localhost" or hostname.startswith("127.")):
            # torch listens on every interface, unless it is given a socket that listens already.
            listener = socket.create_server((hostname, port))
            options["master_listen_fd"] = listener.detach()
        return torch.distributed.TCPStore(hostname, port, world_size, **options)

    rendezvous._rendezvous_handlers["env"] = meet
    rendezvous._create_c10d_store = store
