"""Reading and writing checkpoints with a torch that is newer than the libraries expect."""

import functools
import queue

from nemo_cpu.import_hooks import after_import


@after_import("torch")
def _patch_load(torch):
    """torch >= 2.6 refuses pickled objects by default. NeMo's checkpoints hold OmegaConf objects
    and Transformer Engine's extra states; they are files that this workflow wrote itself."""
    load = torch.load

    @functools.wraps(load)
    def load_any(*args, **kwargs):
        if kwargs.get("weights_only") is None:
            kwargs["weights_only"] = False
        return load(*args, **kwargs)

    torch.load = load_any


@after_import("megatron.core.dist_checkpointing.strategies.filesystem_async")
def _patch_write_item(module):
    """torch >= 2.7 gave its private `_write_item` two arguments that megatron-core 0.10 lacks."""
    from torch.distributed.checkpoint import filesystem

    def write_item(stream, data, item, key):
        return filesystem._write_item(
            filesystem._StorageWriterTransforms(),
            stream,
            data,
            item,
            key,
            filesystem.SerializationFormat.TORCH_SAVE,
        )

    module._write_item = write_item


@after_import("megatron.core.dist_checkpointing.strategies.base")
def _patch_save(module):
    """Saves in this process. megatron-core forks one to save in, even if it waits for it."""

    def save(self, sharded_state_dict, checkpoint_dir):
        self.async_save(sharded_state_dict, checkpoint_dir).execute_sync()

    module.AsyncSaveShardedStrategy.save = save


@after_import("megatron.core.dist_checkpointing.strategies.filesystem_async")
def _patch_results_queue(module):
    """The results of a save in another process need a queue in a third one, that starts by
    importing the program and torch again. Of a save in this process they do not."""
    results = queue.Queue()
    module._get_write_results_queue = lambda: results


@after_import("megatron.core.dist_checkpointing.strategies.filesystem_async")
def _patch_workers(module):
    """Writes the files of a checkpoint in this process. megatron-core forks one for each file while
    the thread of a queue runs, and now and then a forked one waits for ever for a lock that the
    thread has held (CPython's PyOS_AfterFork_Child)."""
    writer = module.FileSystemWriterAsync

    def write(write_buckets, global_results_queue):
        waiting, done = queue.Queue(), queue.Queue()
        for number, bucket in enumerate(write_buckets):
            waiting.put(number)
            writer.write_preloaded_data(number, bucket, done, waiting, True)
        written = dict(done.get_nowait() for _ in write_buckets)
        failures = [result for result in written.values() if isinstance(result, Exception)]
        global_results_queue.put(failures[0] if failures else written)

    writer.write_preloaded_data_multiproc = staticmethod(write)
