"""Reads run directories and draws statistics, figures, tables and the report from them. No torch, no
simulator: imports only the torch-free part of `harness` (configuration, run directory).
"""
