"""The configuration of one run, torch-free: `RunConfig`, its sections, and the id that its semantic fields make."""

from harness.config.fields import Category, Section
from harness.config.identity import component_versions, run_hex, run_id, semantic_fields
from harness.config.run import RunConfig

__all__ = ["Category", "RunConfig", "Section", "component_versions", "run_hex", "run_id", "semantic_fields"]
