"""The episodes a run trains on: live (append-only, memory-mapped) while it runs, shards when it is done."""

from harness.replay.live import EMPTY, ClipBatch, Position, Replay
from harness.replay.shards import finish, is_finished, read_shards

__all__ = ["EMPTY", "ClipBatch", "Position", "Replay", "finish", "is_finished", "read_shards"]
