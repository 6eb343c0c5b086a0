"""Configuration models: the single source of the JSON schema and of config/README.md."""

from opbench.config.root import Config, load_config, merge, parse_config, read_yaml

__all__ = ["Config", "load_config", "merge", "parse_config", "read_yaml"]
